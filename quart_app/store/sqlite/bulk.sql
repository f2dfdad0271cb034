-- The set of a bulk task, walked in ranges of the numbers of tasks.

-- A task is in the set when the action applied to it at the moment when the bulk task was made, and has done so since.
-- So a set never grows, and what is done already is in it no more.
-- name: bulk_find
SELECT t.seq, t.id, t.kind FROM {source} WHERE {conditions} ORDER BY t.seq LIMIT :limit;

-- name: bulk_count
SELECT count(*) FROM {source} WHERE {conditions};

-- name: bulk_made
SELECT t.seq, (SELECT min(e.seq) FROM events e WHERE e.task = t.seq) FROM tasks t WHERE t.id = :id;

-- name: bulk_ends
SELECT coalesce((SELECT min(seq) FROM tasks), 0), coalesce((SELECT max(seq) FROM tasks), 0);

-- name: when_bulk_range
t.seq > :after AND t.seq <= :upto;

-- name: when_bulk_range_tagged
g.task > :after AND g.task <= :upto;

-- name: when_bulk_range_failed
f.task > :after AND f.task <= :upto;

-- Pending or running then and all the time since. With a status it is the one that the task had then.
-- name: when_bulk_cancel
t.status IN ('pending', 'processing') AND t.cancel_requested_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM events n WHERE n.task = t.seq AND n.seq > :event AND n.name = 'status'
    AND n.status IN ('completed', 'failed', 'cancelled'));

-- name: when_bulk_cancel_status
:status = (SELECT b.status FROM events b WHERE b.task = t.seq AND b.seq <= :event AND b.name = 'status'
  ORDER BY b.seq DESC LIMIT 1);

-- name: when_bulk_retry
t.status IN ('failed', 'cancelled')
  AND NOT EXISTS (SELECT 1 FROM events n WHERE n.task = t.seq AND n.seq > :event AND n.name = 'status');

-- name: when_bulk_delete
t.status IN ('completed', 'failed', 'cancelled')
  AND NOT EXISTS (SELECT 1 FROM events n WHERE n.task = t.seq AND n.seq > :event AND n.name = 'status');

-- name: when_bulk_created_after
t.created_at > :created_after;

-- name: when_bulk_created_before
t.created_at < :created_before;
