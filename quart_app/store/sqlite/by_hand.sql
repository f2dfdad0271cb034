-- What people do to one task: cancel, retry, delete.

-- name: cancel_pending
UPDATE tasks SET status = 'cancelled', cause = 'cancel', version = version + 1, ready = 0, waiting_for = NULL,
  cancel_requested_at = value->>'at', completed_at = max(value->>'at', created_at), changed_at = value->>'at'
FROM json_each(:rows)
WHERE tasks.id = value->>'id' AND +tasks.status = 'pending'
RETURNING tasks.id, {wakes},
  EXISTS (SELECT 1 FROM families f WHERE f.parent = tasks.seq) + 2 * (tasks.unique_key IS NOT NULL);

-- name: request_cancel
UPDATE tasks SET status = 'processing', cause = 'cancel_requested', version = version + 1,
  cancel_requested_at = value->>'at', changed_at = value->>'at'
FROM json_each(:rows)
WHERE tasks.id = value->>'id' AND +tasks.status = 'processing' AND cancel_requested_at IS NULL
RETURNING tasks.id;

-- name: forget_progress
UPDATE progress SET version = version + 1, done = NULL, total = NULL, message = NULL WHERE task IN (
  SELECT t.seq FROM json_each(:rows) CROSS JOIN tasks t
    ON t.id = value->>'id' AND +t.status IN ('failed', 'cancelled'));

-- name: rerun
UPDATE tasks SET status = 'pending', cause = 'rerun', version = version + 1, ready = 1, attempt = 0, crashes = 0,
  run_at = value->>'at', delay_ms = NULL, changed_at = value->>'at', completed_at = NULL, cancel_requested_at = NULL,
  expires_at = NULL
FROM json_each(:rows)
WHERE tasks.id = value->>'id' AND +tasks.status IN ('failed', 'cancelled') AND NOT EXISTS (SELECT 1 FROM unique_keys u
  WHERE u.owner = tasks.owner AND u.kind = tasks.kind AND u.key = tasks.unique_key)
  -- Of several with one key the oldest one runs: each row is asked before the first of them is changed.
  AND (tasks.unique_key IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(:rows) r CROSS JOIN tasks o
    ON o.id = r.value->>'id' WHERE o.seq < tasks.seq AND o.owner = tasks.owner AND o.kind = tasks.kind
      AND o.unique_key = tasks.unique_key AND +o.status IN ('failed', 'cancelled')))
RETURNING tasks.id, tasks.queue;

-- name: delete
DELETE FROM tasks WHERE id IN (SELECT value->>'id' FROM json_each(:rows)) AND +status IN ('completed', 'failed', 'cancelled')
RETURNING id;

-- name: state
SELECT t.id, t.status, t.queue, u.task_id, t.unique_key FROM json_each(:rows) CROSS JOIN tasks t ON t.id = value->>'id'
LEFT JOIN unique_keys u ON u.owner = t.owner AND u.kind = t.kind AND u.key = t.unique_key;
