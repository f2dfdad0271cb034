-- Tasks with a unique key. `enqueue_unique` (in enqueue.sql) runs these, task by task.

-- name: unique_holder
SELECT u.task_id, t.status, t.fence, u.first_at FROM unique_keys u CROSS JOIN tasks t ON t.id = u.task_id
WHERE u.owner = :owner AND u.kind = :kind AND u.key = :unique_key;

-- The task that has the key until now, if there is one, is ahead of this one.
-- name: take_unique_key
INSERT INTO unique_keys (owner, kind, key, task_id, first_at) VALUES (:owner, :kind, :unique_key, :id, :created_at)
ON CONFLICT (owner, kind, key) DO UPDATE
  SET ahead = unique_keys.task_id, task_id = excluded.task_id, first_at = excluded.first_at;

-- name: replace_unique
UPDATE tasks SET queue = :queue, priority = :priority, run_at = :run_at, delay_ms = :delay_ms,
  ready = waiting_for IS NULL AND :run_at <= :created_at, max_attempts = :max_attempts, timeout_ms = :timeout_ms,
  expires_at = :expires_at, retention_ms = :retention_ms, traceparent = :traceparent, tags = nullif(:tags, '[]'),
  args = CASE WHEN length(:args) <= 256 THEN :args END
WHERE id = :id AND +status = 'pending' AND fence = 0;

-- Once, however many duplicates follow: a history is bounded.
-- name: replaced_log
INSERT INTO events (task, at, name, status, cause, attempt, data)
SELECT t.seq, :now, 'log', t.status, t.cause, t.attempt, '{"message":"replaced by a duplicate"}' FROM tasks t
WHERE t.id = :id AND NOT EXISTS (SELECT 1 FROM events e
  WHERE e.task = t.seq AND e.name = 'log' AND e.data = '{"message":"replaced by a duplicate"}');

-- name: has_idempotency_key
SELECT 1 FROM idempotency_keys WHERE owner = :owner AND key = :idempotency_key AND task_id = :id;

-- An idempotency key whose task was not made, because it is a duplicate, stands for the other one.
-- name: move_idempotency_key
UPDATE idempotency_keys SET task_id = :holder WHERE owner = :owner AND key = :idempotency_key AND task_id = :id;

-- name: held_unique_keys
SELECT value->>'id' FROM json_each(:rows) CROSS JOIN unique_keys u
  ON u.owner = value->>'owner' AND u.kind = value->>'kind' AND u.key = value->>'unique_key';

-- What the end of a task may make ready: its parent, or the task behind it. No task has both: children have no key.
-- name: wakes
CASE WHEN tasks.unique_key IS NULL THEN (SELECT p.queue FROM tasks p WHERE p.seq = tasks.parent)
  ELSE (SELECT b.queue FROM unique_keys u CROSS JOIN tasks b ON b.id = u.task_id
    WHERE u.owner = tasks.owner AND u.kind = tasks.kind AND u.key = tasks.unique_key AND b.id <> tasks.id) END;
