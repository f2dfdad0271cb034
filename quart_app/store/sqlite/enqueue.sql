-- Makes tasks.

-- name: reserve_keys
INSERT INTO idempotency_keys (owner, key, task_id, fingerprint, expires_at)
SELECT value->>'owner', value->>'idempotency_key', value->>'id', value->>'fingerprint', value->>'key_expires_at'
FROM json_each(:rows) WHERE true
ON CONFLICT (owner, key) DO UPDATE
  SET task_id = excluded.task_id, fingerprint = excluded.fingerprint, expires_at = excluded.expires_at
  WHERE idempotency_keys.expires_at <= :now;

-- name: enqueue
INSERT INTO tasks (id, kind, queue, owner, status, cause, ready, priority, run_at, delay_ms, max_attempts, created_at,
  changed_at, expires_at, timeout_ms, retention_ms, tags, traceparent, args)
SELECT value->>'id', value->>'kind', value->>'queue', value->>'owner', 'pending', 'enqueue',
  value->>'run_at' <= value->>'created_at', value->>'priority', value->>'run_at', value->>'delay_ms',
  value->>'max_attempts', value->>'created_at', value->>'created_at', value->>'expires_at', value->>'timeout_ms',
  value->>'retention_ms', nullif(value->>'tags', '[]'), value->>'traceparent',
  CASE WHEN length(value->>'args') <= 256 THEN value->>'args' END
FROM json_each(:rows);

-- name: enqueue_keyed
INSERT INTO tasks (id, kind, queue, owner, status, cause, ready, priority, run_at, delay_ms, max_attempts, created_at,
  changed_at, expires_at, timeout_ms, retention_ms, tags, traceparent, args)
SELECT value->>'id', value->>'kind', value->>'queue', value->>'owner', 'pending', 'enqueue',
  value->>'run_at' <= value->>'created_at', value->>'priority', value->>'run_at', value->>'delay_ms',
  value->>'max_attempts', value->>'created_at', value->>'created_at', value->>'expires_at', value->>'timeout_ms',
  value->>'retention_ms', nullif(value->>'tags', '[]'), value->>'traceparent',
  CASE WHEN length(value->>'args') <= 256 THEN value->>'args' END
FROM json_each(:rows) JOIN idempotency_keys k
  ON k.owner = value->>'owner' AND k.key = value->>'idempotency_key' AND k.task_id = value->>'id';

-- A procedure, `enqueue_unique` of unique_tasks.py, stands at this place and runs this for a task that `enqueue` has made.
-- name: enqueue_unique
UPDATE tasks SET unique_key = :unique_key, waiting_for = :waiting_for, ready = ready AND :waiting_for IS NULL
WHERE id = :id;

-- A child, unless its parent has recorded another one under the same name. It is held until its parent has ended.
-- name: enqueue_child
INSERT INTO tasks (id, kind, queue, owner, status, cause, ready, priority, run_at, delay_ms, max_attempts, created_at,
  changed_at, expires_at, timeout_ms, retention_ms, tags, traceparent, args, parent, depth, held)
SELECT value->>'id', value->>'kind', value->>'queue', value->>'owner', 'pending', 'enqueue',
  value->>'run_at' <= value->>'created_at', value->>'priority', value->>'run_at', value->>'delay_ms',
  value->>'max_attempts', value->>'created_at', value->>'created_at', value->>'expires_at', value->>'timeout_ms',
  value->>'retention_ms', nullif(value->>'tags', '[]'), value->>'traceparent',
  CASE WHEN length(value->>'args') <= 256 THEN value->>'args' END, p.seq, p.depth + 1, 1
FROM json_each(:rows) CROSS JOIN tasks p
  ON p.id = value->>'parent' AND p.fence = value->>'fence' AND +p.status = 'processing'
WHERE NOT EXISTS (SELECT 1 FROM steps s WHERE s.task = p.seq AND s.name = value->>'step');

-- name: link_child
INSERT INTO children (parent, task, detached)
SELECT t.parent, t.seq, value->>'detached' FROM json_each(:rows) CROSS JOIN tasks t ON t.id = value->>'id'
WHERE t.parent IS NOT NULL ON CONFLICT DO NOTHING;

-- name: put_args
INSERT INTO args (task, args)
SELECT t.seq, value->>'args' FROM json_each(:rows) CROSS JOIN tasks t ON t.id = value->>'id';

-- name: put_tags
INSERT INTO tags (tag, task)
SELECT g.value, t.seq FROM json_each(:rows) r CROSS JOIN tasks t ON t.id = r.value->>'id'
  CROSS JOIN json_each(r.value->>'tags') g
WHERE true ON CONFLICT DO NOTHING;

-- name: find_keys
SELECT value->>'id', k.task_id, k.fingerprint, t.status,
  k.expires_at > coalesce(value->>'keys_before', value->>'created_at')
FROM json_each(:rows) CROSS JOIN idempotency_keys k ON k.owner = value->>'owner' AND k.key = value->>'idempotency_key'
  LEFT JOIN tasks t ON t.id = k.task_id;
