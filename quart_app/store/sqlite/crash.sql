-- After the death of a worker: its tasks go on, and the task that caused the death is found.

-- Deletes the groups of earlier crashes: the task has recorded a step since.
-- name: forget_crash_groups
DELETE FROM crash_groups WHERE task IN (
  SELECT t.seq FROM json_each(:rows) CROSS JOIN tasks t
    ON t.id = value->>'id' AND t.fence = value->>'fence' AND +t.status = 'processing' AND t.crashes = 0);

-- name: join_crash_group
INSERT INTO crash_groups (task, worker)
SELECT t.seq, t.worker FROM json_each(:rows) CROSS JOIN tasks t
  ON t.id = value->>'id' AND t.fence = value->>'fence' AND +t.status = 'processing'
WHERE true ON CONFLICT DO NOTHING;

-- name: crash
UPDATE tasks SET status = 'pending', cause = 'crash', version = version + 1, worker = NULL,
  attempt = max(attempt - 1, 0), crashes = crashes + 1, ready = value->>'run_at' IS NULL,
  run_at = coalesce(value->>'run_at', run_at), delay_ms = value->>'delay_ms', changed_at = value->>'at',
  lived_ms = max(CASE WHEN crashes > 0 THEN lived_ms ELSE 0 END, value->>'died_at' - started_at)
FROM json_each(:rows)
WHERE tasks.id = value->>'id' AND tasks.fence = value->>'fence' AND +tasks.status = 'processing'
RETURNING tasks.id, tasks.queue, tasks.crashes;

-- The cause of these crashes is found: they no longer count for other tasks.
-- name: solve_crash_groups
DELETE FROM crash_groups WHERE worker IN (
  SELECT g.worker FROM json_each(:rows) CROSS JOIN tasks t
    ON t.id = value->>'id' AND t.fence = value->>'fence' AND +t.status = 'processing'
  CROSS JOIN crash_groups g ON g.task = t.seq);

-- name: crash_out
UPDATE tasks SET status = 'failed', cause = 'crash', version = version + 1, worker = NULL, crashes = crashes + 1,
  completed_at = max(value->>'at', started_at), changed_at = value->>'at'
FROM json_each(:rows)
WHERE tasks.id = value->>'id' AND tasks.fence = value->>'fence' AND +tasks.status = 'processing'
RETURNING tasks.id, {wakes},
  EXISTS (SELECT 1 FROM families f WHERE f.parent = tasks.seq) + 2 * (tasks.unique_key IS NOT NULL);
