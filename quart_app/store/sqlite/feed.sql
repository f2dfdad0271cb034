-- The new events of all tasks. A filter that is NULL lets all events through; the caller bounds the walk by `until`.
-- name: feed
SELECT e.seq, t.id, e.at, e.name, e.status, e.cause, e.attempt, e.data, t.kind, t.owner
FROM events e CROSS JOIN tasks t ON t.seq = e.task
WHERE e.seq > :after AND e.seq <= :until AND (:kind IS NULL OR t.kind = :kind)
  AND (:status IS NULL OR e.status = :status) AND (:owner IS NULL OR t.owner = :owner)
ORDER BY e.seq LIMIT :limit;

-- name: newest_date
SELECT coalesce((SELECT at FROM events WHERE seq = (SELECT max(seq) FROM events)), 0);

-- name: last_event
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0);
