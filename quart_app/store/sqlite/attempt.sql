-- The writes of one attempt, from its first step to its end. Each is guarded by the fence of its claim.

-- name: step_event
INSERT INTO events (task, at, name, status, cause, attempt, data)
SELECT t.seq, value->>'at', 'step', t.status, t.cause, t.attempt, value->>'data'
FROM json_each(:rows) CROSS JOIN tasks t
  ON t.id = value->>'id' AND t.fence = value->>'fence' AND +t.status = 'processing'
WHERE NOT EXISTS (SELECT 1 FROM steps s WHERE s.task = t.seq AND s.name = value->>'name');

-- name: record_step
INSERT INTO steps (task, name, type, attempt, at, ordinal, size, output)
SELECT t.seq, value->>'name', coalesce(value->>'type', 'step'), t.attempt, value->>'at', value->>'ordinal', value->>'size', value->>'output'
FROM json_each(:rows) CROSS JOIN tasks t
  ON t.id = value->>'id' AND t.fence = value->>'fence' AND +t.status = 'processing'
WHERE true ON CONFLICT DO NOTHING
RETURNING (SELECT id FROM tasks WHERE seq = task);

-- name: leave_crash_groups
DELETE FROM crash_groups WHERE task IN (
  SELECT t.seq FROM json_each(:rows) CROSS JOIN tasks t
    ON t.id = value->>'id' AND t.fence = value->>'fence' AND +t.status = 'processing');

-- name: clear_crashes
UPDATE tasks SET crashes = 0
FROM json_each(:rows)
WHERE tasks.id = value->>'id' AND tasks.fence = value->>'fence' AND +tasks.status = 'processing' AND crashes > 0;

-- name: put_progress
INSERT INTO progress (task, version, done, total, message)
SELECT t.seq, 1, value->>'done', value->>'total', value->>'message'
FROM json_each(:rows) CROSS JOIN tasks t
  ON t.id = value->>'id' AND t.fence = value->>'fence' AND +t.status = 'processing'
WHERE true ON CONFLICT (task) DO UPDATE
  SET version = progress.version + 1, done = excluded.done, total = excluded.total, message = excluded.message
RETURNING (SELECT id FROM tasks WHERE seq = task);

-- It takes many entries for one task and keeps their order. It returns the task and the fence of the run.
-- name: put_event
INSERT INTO events (task, at, name, status, cause, attempt, data)
SELECT t.seq, value->>'at', value->>'name', t.status, t.cause, t.attempt, value->>'data'
FROM json_each(:rows) CROSS JOIN tasks t
  ON t.id = value->>'id' AND t.fence = value->>'fence' AND +t.status = 'processing'
WHERE true
RETURNING (SELECT id || '/' || fence FROM tasks WHERE seq = task);

-- name: put_result
INSERT INTO results (task, result)
SELECT t.seq, value->>'result'
FROM json_each(:rows) CROSS JOIN tasks t
  ON t.id = value->>'id' AND t.fence = value->>'fence' AND +t.status = 'processing'
WHERE true ON CONFLICT (task) DO UPDATE SET result = excluded.result;

-- name: put_error
INSERT INTO errors (task, fence, attempt, at, type, message, retryable, traceback, place, fingerprint)
SELECT t.seq, t.fence, t.attempt, value->>'at', value->>'type', value->>'message', value->>'retryable',
  value->>'traceback', value->>'place', error_fingerprint(t.kind, value->>'type', value->>'place')
FROM json_each(:rows) CROSS JOIN tasks t
  ON t.id = value->>'id' AND t.fence = value->>'fence' AND +t.status = 'processing'
WHERE true ON CONFLICT DO NOTHING;

-- name: complete
UPDATE tasks SET status = 'completed', cause = 'complete', version = version + 1, worker = NULL, crashes = 0,
  result = value->>'result',
  completed_at = max(value->>'at', started_at), changed_at = value->>'at'
FROM json_each(:rows)
WHERE tasks.id = value->>'id' AND tasks.fence = value->>'fence' AND +tasks.status = 'processing'
RETURNING tasks.id, {wakes}, 2 * (tasks.unique_key IS NOT NULL);

-- A recorded cancel wins over every end of a run that goes on or has failed: the caller was promised the cancel. This
-- statement runs before those ends, so that they no longer find the task processing. The run's error stays on record.
-- name: cancel_instead
UPDATE tasks SET status = 'cancelled', cause = 'cancel', version = version + 1, worker = NULL,
  completed_at = max(value->>'at', started_at), changed_at = value->>'at'
FROM json_each(:rows)
WHERE tasks.id = value->>'id' AND tasks.fence = value->>'fence' AND +tasks.status = 'processing'
  AND tasks.cancel_requested_at IS NOT NULL
RETURNING tasks.id, {wakes},
  EXISTS (SELECT 1 FROM families f WHERE f.parent = tasks.seq) + 2 * (tasks.unique_key IS NOT NULL);

-- name: retry
UPDATE tasks SET status = 'pending', cause = 'retry', version = version + 1, worker = NULL, crashes = 0,
  run_at = value->>'run_at', delay_ms = value->>'delay_ms', changed_at = value->>'at'
FROM json_each(:rows)
WHERE tasks.id = value->>'id' AND tasks.fence = value->>'fence' AND +tasks.status = 'processing'
RETURNING tasks.id;

-- name: fail
UPDATE tasks SET status = 'failed', cause = 'fail', version = version + 1, worker = NULL,
  completed_at = max(value->>'at', started_at), changed_at = value->>'at'
FROM json_each(:rows)
WHERE tasks.id = value->>'id' AND tasks.fence = value->>'fence' AND +tasks.status = 'processing'
RETURNING tasks.id, {wakes},
  EXISTS (SELECT 1 FROM families f WHERE f.parent = tasks.seq) + 2 * (tasks.unique_key IS NOT NULL);

-- name: suspend
UPDATE tasks SET status = 'pending', cause = 'suspend', version = version + 1, worker = NULL,
  attempt = attempt - 1, waiting_for = value->>'waiting_for', changed_at = value->>'at'
FROM json_each(:rows)
WHERE tasks.id = value->>'id' AND tasks.fence = value->>'fence' AND +tasks.status = 'processing'
RETURNING tasks.id;

-- name: release
UPDATE tasks SET status = 'pending', cause = 'release', version = version + 1, worker = NULL,
  attempt = attempt - 1, ready = value->>'run_at' IS NULL, run_at = coalesce(value->>'run_at', run_at),
  delay_ms = value->>'delay_ms', changed_at = value->>'at'
FROM json_each(:rows)
WHERE tasks.id = value->>'id' AND tasks.fence = value->>'fence' AND +tasks.status = 'processing'
RETURNING tasks.id;

-- name: end_cancelled
UPDATE tasks SET status = 'cancelled', cause = 'cancel', version = version + 1, worker = NULL,
  completed_at = max(value->>'at', started_at), changed_at = value->>'at'
FROM json_each(:rows)
WHERE tasks.id = value->>'id' AND tasks.fence = value->>'fence' AND +tasks.status = 'processing'
RETURNING tasks.id, {wakes},
  EXISTS (SELECT 1 FROM families f WHERE f.parent = tasks.seq) + 2 * (tasks.unique_key IS NOT NULL);
