-- Children of a task: a parent waits for their end, and its own end is theirs.

-- Which children a parent waits for: of those that it asks for the ones that have not ended.
-- name: await_none
UPDATE children SET awaited = 0 WHERE awaited = 1 AND parent IN (
  SELECT t.seq FROM json_each(:rows) CROSS JOIN tasks t
    ON t.id = value->>'id' AND t.fence = value->>'fence' AND +t.status = 'processing');

-- name: await_children
UPDATE children SET awaited = 1 WHERE (parent, task) IN (
  SELECT t.seq, k.seq FROM json_each(:rows) r
    CROSS JOIN tasks t ON t.id = r.value->>'id' AND t.fence = r.value->>'fence' AND +t.status = 'processing'
    CROSS JOIN json_each(r.value->>'ids') i
    CROSS JOIN tasks k ON k.id = i.value AND +k.parent = t.seq AND +k.completed_at IS NULL);

-- name: count_awaited
UPDATE families SET waits = (SELECT count(*) FROM children c WHERE c.parent = families.parent AND c.awaited = 1)
WHERE parent IN (
  SELECT t.seq FROM json_each(:rows) CROSS JOIN tasks t
    ON t.id = value->>'id' AND t.fence = value->>'fence' AND +t.status = 'processing');

-- name: suspend_for_children
UPDATE tasks SET status = 'pending', cause = 'suspend', version = version + 1, worker = NULL, crashes = 0,
  attempt = attempt - 1, delay_ms = NULL, changed_at = value->>'at',
  waiting_for = CASE WHEN coalesce((SELECT f.waits FROM families f WHERE f.parent = tasks.seq), 0) > 0 THEN 'children' END,
  ready = coalesce((SELECT f.waits FROM families f WHERE f.parent = tasks.seq), 0) = 0
FROM json_each(:rows)
WHERE tasks.id = value->>'id' AND tasks.fence = value->>'fence' AND +tasks.status = 'processing'
RETURNING tasks.id, tasks.queue, tasks.ready;

-- How children ended. Those of somebody else have another parent.
-- name: outcomes
SELECT i.key, i.value, t.status, t.kind, coalesce(t.result, r.result), e.type, e.message, p.id
FROM json_each(:ids) i LEFT JOIN tasks t ON t.id = i.value LEFT JOIN tasks p ON p.seq = t.parent
LEFT JOIN results r ON r.task = t.seq
LEFT JOIN errors e ON t.status = 'failed' AND e.task = t.seq
  AND e.fence = (SELECT max(x.fence) FROM errors x WHERE x.task = t.seq);

-- Those that are on record: going back makes others in the place of those that are not.
-- name: count_children
SELECT coalesce(sum(CASE s.type WHEN 'child' THEN 1 ELSE json_array_length(s.output) END), 0)
FROM tasks t CROSS JOIN steps s ON s.task = t.seq AND s.type IN ('child', 'children') WHERE t.id = :id;

-- name: ended_parents
SELECT task FROM ended_parents ORDER BY task LIMIT :limit;

-- name: cancel_pending_children
UPDATE tasks SET status = 'cancelled', cause = 'cancel', version = version + 1, ready = 0, waiting_for = NULL,
  cancel_requested_at = :now, completed_at = max(:now, created_at), changed_at = :now
WHERE seq IN (SELECT t.seq FROM ended_parents d CROSS JOIN children c ON c.parent = d.task AND c.detached = 0
  CROSS JOIN tasks t ON t.seq = c.task AND +t.status = 'pending'
  WHERE d.task = :parent AND d.cancel = 1 LIMIT :limit)
RETURNING id, (SELECT p.queue FROM tasks p WHERE p.seq = tasks.parent),
  EXISTS (SELECT 1 FROM families f WHERE f.parent = tasks.seq), kind;

-- name: cancel_running_children
UPDATE tasks SET status = 'processing', cause = 'cancel_requested', version = version + 1, cancel_requested_at = :now,
  changed_at = :now
WHERE seq IN (SELECT t.seq FROM ended_parents d CROSS JOIN children c ON c.parent = d.task AND c.detached = 0
  CROSS JOIN tasks t ON t.seq = c.task AND +t.status = 'processing' AND t.cancel_requested_at IS NULL
  WHERE d.task = :parent AND d.cancel = 1 LIMIT :limit)
RETURNING id;

-- name: release_children
UPDATE tasks SET held = 0
WHERE seq IN (SELECT t.seq FROM ended_parents d CROSS JOIN children c ON c.parent = d.task
  CROSS JOIN tasks t ON t.seq = c.task AND t.held = 1
  WHERE d.task = :parent AND NOT EXISTS (SELECT 1 FROM tasks p WHERE p.seq = d.task AND p.held = 1) LIMIT :limit)
RETURNING id;

-- Stands after the others: there is nothing left for them to do.
-- name: settle_parent
DELETE FROM ended_parents WHERE task = :parent
  AND NOT (cancel = 1 AND EXISTS (SELECT 1 FROM children c CROSS JOIN tasks t ON t.seq = c.task
    WHERE c.parent = :parent AND c.detached = 0
      AND (t.status = 'pending' OR t.status = 'processing' AND t.cancel_requested_at IS NULL)))
  AND (EXISTS (SELECT 1 FROM tasks p WHERE p.seq = :parent AND p.held = 1)
    OR NOT EXISTS (SELECT 1 FROM children c CROSS JOIN tasks t ON t.seq = c.task WHERE c.parent = :parent AND t.held = 1))
RETURNING task;
