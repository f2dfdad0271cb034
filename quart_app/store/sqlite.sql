-- Every statement the store runs on SQLite, by name. What they promise stands in base.py.
--
-- A statement that takes `:rows` is set-oriented: `:rows` is a JSON array of objects, one entry a task, and the first
-- column it returns is the id of each task on which it landed. The statements of one turn of the writer run in the
-- order of this file. Documents (args, results, outputs) are JSON text inside the JSON: `->>` would cut a raw text at
-- a NUL and turn integers above 2^63 into floats.
--
-- `+tasks.status` keeps the planner on the unique index of the id, INDEXED BY on the partial index made for the
-- statement: without statistics it prefers the index on status.

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

-- name: step_event
INSERT INTO events (task, at, name, status, cause, attempt, data)
SELECT t.seq, value->>'at', 'step', t.status, t.cause, t.attempt, value->>'data'
FROM json_each(:rows) CROSS JOIN tasks t
  ON t.id = value->>'id' AND t.fence = value->>'fence' AND +t.status = 'processing'
WHERE NOT EXISTS (SELECT 1 FROM steps s WHERE s.task = t.seq AND s.name = value->>'name');

-- name: record_step
INSERT INTO steps (task, name, attempt, at, ordinal, size, output)
SELECT t.seq, value->>'name', t.attempt, value->>'at', value->>'ordinal', value->>'size', value->>'output'
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

-- Takes many entries a task, and keeps their order; what it returns names the run.
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
INSERT INTO errors (task, fence, attempt, at, type, message, retryable, traceback)
SELECT t.seq, t.fence, t.attempt, value->>'at', value->>'type', value->>'message', value->>'retryable',
  value->>'traceback'
FROM json_each(:rows) CROSS JOIN tasks t
  ON t.id = value->>'id' AND t.fence = value->>'fence' AND +t.status = 'processing'
WHERE true ON CONFLICT DO NOTHING;

-- name: complete
UPDATE tasks SET status = 'completed', cause = 'complete', version = version + 1, worker = NULL, crashes = 0,
  result = value->>'result',
  completed_at = max(value->>'at', started_at), changed_at = value->>'at'
FROM json_each(:rows)
WHERE tasks.id = value->>'id' AND tasks.fence = value->>'fence' AND +tasks.status = 'processing'
RETURNING tasks.id;

-- A cancel that is on record wins over every end of a run that is to go on, or that has failed: it was promised. It stands
-- before them, so that they no longer find the task processing; the run's error stays on record.
-- name: cancel_instead
UPDATE tasks SET status = 'cancelled', cause = 'cancel', version = version + 1, worker = NULL,
  completed_at = max(value->>'at', started_at), changed_at = value->>'at'
FROM json_each(:rows)
WHERE tasks.id = value->>'id' AND tasks.fence = value->>'fence' AND +tasks.status = 'processing'
  AND tasks.cancel_requested_at IS NOT NULL
RETURNING tasks.id;

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
RETURNING tasks.id;

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
RETURNING tasks.id;

-- The groups of an earlier row of crashes: the task has made headway since.
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

-- The cause of these crashes is found: nobody else is to blame for them.
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
RETURNING tasks.id;

-- name: cancel_pending
UPDATE tasks SET status = 'cancelled', cause = 'cancel', version = version + 1, ready = 0, waiting_for = NULL,
  cancel_requested_at = value->>'at', completed_at = max(value->>'at', created_at), changed_at = value->>'at'
FROM json_each(:rows)
WHERE tasks.id = value->>'id' AND +tasks.status = 'pending'
RETURNING tasks.id;

-- name: request_cancel
UPDATE tasks SET status = 'processing', cause = 'cancel_requested', version = version + 1,
  cancel_requested_at = value->>'at', changed_at = value->>'at'
FROM json_each(:rows)
WHERE tasks.id = value->>'id' AND +tasks.status = 'processing' AND cancel_requested_at IS NULL
RETURNING tasks.id;

-- name: forget_steps
DELETE FROM steps WHERE task IN (
  SELECT t.seq FROM json_each(:rows) CROSS JOIN tasks t
    ON t.id = value->>'id' AND +t.status IN ('failed', 'cancelled'));

-- name: forget_progress
UPDATE progress SET version = version + 1, done = NULL, total = NULL, message = NULL WHERE task IN (
  SELECT t.seq FROM json_each(:rows) CROSS JOIN tasks t
    ON t.id = value->>'id' AND +t.status IN ('failed', 'cancelled'));

-- name: rerun
UPDATE tasks SET status = 'pending', cause = 'rerun', version = version + 1, ready = 1, attempt = 0, crashes = 0,
  run_at = value->>'at', delay_ms = NULL, changed_at = value->>'at', completed_at = NULL, cancel_requested_at = NULL,
  expires_at = NULL
FROM json_each(:rows)
WHERE tasks.id = value->>'id' AND +tasks.status IN ('failed', 'cancelled')
RETURNING tasks.id, tasks.queue;

-- name: delete
DELETE FROM tasks WHERE id IN (SELECT value->>'id' FROM json_each(:rows)) AND +status IN ('completed', 'failed', 'cancelled')
RETURNING id;

-- name: state
SELECT t.id, t.status, t.queue FROM json_each(:rows) CROSS JOIN tasks t ON t.id = value->>'id';

-- name: expire_errors
INSERT INTO errors (task, fence, attempt, at, type, message, retryable, traceback)
SELECT seq, fence, attempt, :now, 'expired', 'it did not start before its time ran out', 0, NULL
FROM tasks INDEXED BY tasks_expiring WHERE status = 'pending' AND expires_at IS NOT NULL AND expires_at <= :now
ORDER BY expires_at, seq LIMIT :limit
ON CONFLICT DO NOTHING;

-- name: expire
UPDATE tasks SET status = 'failed', cause = 'expire', version = version + 1, ready = 0, waiting_for = NULL,
  completed_at = :now, changed_at = :now
WHERE seq IN (SELECT seq FROM tasks INDEXED BY tasks_expiring
  WHERE status = 'pending' AND expires_at IS NOT NULL AND expires_at <= :now ORDER BY expires_at, seq LIMIT :limit)
RETURNING id, kind;

-- name: stage
UPDATE tasks SET ready = 1
WHERE seq IN (SELECT seq FROM tasks INDEXED BY tasks_delayed
  WHERE status = 'pending' AND ready = 0 AND waiting_for IS NULL AND run_at <= :now ORDER BY run_at LIMIT :limit)
RETURNING queue, crashes;

-- What waited for its kind had started, so it was due.
-- name: unpark
UPDATE tasks SET waiting_for = NULL, ready = 1
WHERE seq IN (SELECT seq FROM tasks WHERE waiting_for IN (SELECT 'kind:' || value FROM json_each(:kinds)) LIMIT :limit)
RETURNING queue;

-- name: claim
UPDATE tasks SET status = 'processing', cause = 'claim', version = version + 1, ready = 0, attempt = attempt + 1,
  fence = fence + 1, worker = :worker, started_at = max(:now, created_at), changed_at = :now, expires_at = NULL
WHERE seq IN (SELECT seq FROM tasks INDEXED BY tasks_ready
  WHERE status = 'pending' AND ready = 1 AND crashes < 2 AND queue = :queue
    AND (expires_at IS NULL OR expires_at > :now)
  ORDER BY priority DESC, run_at, seq LIMIT :limit)
RETURNING id, fence, kind, coalesce(args, (SELECT a.args FROM args a WHERE a.task = seq)), queue, owner, attempt,
  max_attempts, crashes, lived_ms, timeout_ms, traceparent, cancel_requested_at IS NOT NULL,
  fence > 1 AND EXISTS (SELECT 1 FROM steps s WHERE s.task = seq);

-- name: claim_suspects
UPDATE tasks SET status = 'processing', cause = 'claim', version = version + 1, ready = 0, attempt = attempt + 1,
  fence = fence + 1, worker = :worker, started_at = max(:now, created_at), changed_at = :now, expires_at = NULL
WHERE seq IN (SELECT seq FROM tasks INDEXED BY tasks_suspects
  WHERE status = 'pending' AND ready = 1 AND crashes >= 2 AND crashes BETWEEN :least AND :most
  ORDER BY lived_ms, run_at, seq LIMIT :limit)
RETURNING id, fence, kind, coalesce(args, (SELECT a.args FROM args a WHERE a.task = seq)), queue, owner, attempt,
  max_attempts, crashes, lived_ms, timeout_ms, traceparent, cancel_requested_at IS NOT NULL,
  fence > 1 AND EXISTS (SELECT 1 FROM steps s WHERE s.task = seq);

-- name: prune_old
DELETE FROM tasks WHERE seq IN (SELECT seq FROM tasks
  WHERE completed_at IS NOT NULL AND retention_ms IS NULL AND completed_at < :before ORDER BY completed_at LIMIT :limit)
RETURNING id;

-- name: prune_kept
DELETE FROM tasks WHERE seq IN (SELECT seq FROM tasks
  WHERE retention_ms IS NOT NULL AND completed_at IS NOT NULL AND completed_at + retention_ms < :now
  ORDER BY completed_at + retention_ms LIMIT :limit)
RETURNING id;

-- name: prune_keys
DELETE FROM idempotency_keys WHERE (owner, key) IN
  (SELECT owner, key FROM idempotency_keys WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit)
RETURNING key;

-- What is left of deleted tasks: (table, key, rest of the key, characters), arm by arm for as long as the reader takes
-- them. Who comes to the last arm has seen the others to their ends.
-- name: left_rows
WITH gone (task) AS MATERIALIZED (SELECT task FROM deleted_tasks ORDER BY task LIMIT :limit)
SELECT 'events', x.seq, NULL, coalesce(length(x.data), 0) FROM gone d CROSS JOIN events x ON x.task = d.task
UNION ALL SELECT 'steps', x.task, x.name, x.size FROM gone d CROSS JOIN steps x ON x.task = d.task
UNION ALL SELECT 'errors', x.task, x.fence, length(x.message) + coalesce(length(x.traceback), 0)
  FROM gone d CROSS JOIN errors x ON x.task = d.task
UNION ALL SELECT 'args', x.task, NULL, length(x.args) FROM gone d CROSS JOIN args x ON x.task = d.task
UNION ALL SELECT 'results', x.task, NULL, length(x.result) FROM gone d CROSS JOIN results x ON x.task = d.task
UNION ALL SELECT 'progress', x.task, NULL, 0 FROM gone d CROSS JOIN progress x ON x.task = d.task
UNION ALL SELECT 'tags', x.task, x.tag, 0 FROM gone d CROSS JOIN tags x ON x.task = d.task
UNION ALL SELECT 'deleted_tasks', task, NULL, 0 FROM gone;

-- name: clear_events
DELETE FROM events WHERE seq IN (SELECT value->>0 FROM json_each(:keys));

-- name: clear_steps
DELETE FROM steps WHERE (task, name) IN (SELECT value->>0, value->>1 FROM json_each(:keys));

-- name: clear_errors
DELETE FROM errors WHERE (task, fence) IN (SELECT value->>0, value->>1 FROM json_each(:keys));

-- name: clear_args
DELETE FROM args WHERE task IN (SELECT value->>0 FROM json_each(:keys));

-- name: clear_results
DELETE FROM results WHERE task IN (SELECT value->>0 FROM json_each(:keys));

-- name: clear_progress
DELETE FROM progress WHERE task IN (SELECT value->>0 FROM json_each(:keys));

-- name: clear_tags
DELETE FROM tags WHERE (task, tag) IN (SELECT value->>0, value->>1 FROM json_each(:keys));

-- name: clear_deleted_tasks
DELETE FROM deleted_tasks WHERE task IN (SELECT value->>0 FROM json_each(:keys));

-- A queue that nobody uses any more leaves its rows at 0. Looked for row by row: an index would cost every task.
-- name: prune_counters
DELETE FROM counters WHERE (queue, kind, status, ready) IN
  (SELECT queue, kind, status, ready FROM counters WHERE n = 0 LIMIT :limit)
RETURNING n;

-- name: probe
UPDATE probe SET n = (n + 1) % 1000000;

-- `sole`: of its crashes, this one too, those that nobody but this task can have caused, because all who ran beside it
-- have made headway or ended since. Counted for those alone that have crashed `from_crashes` times before.
-- name: orphans
SELECT t.id, t.fence, t.crashes, t.cancel_requested_at IS NOT NULL, t.kind, t.worker,
  CASE WHEN t.crashes < :from_crashes THEN 0 ELSE (
    SELECT count(*) FROM crash_groups g WHERE g.task = t.seq AND NOT EXISTS (
      SELECT 1 FROM crash_groups o CROSS JOIN tasks x ON x.seq = o.task
      WHERE o.worker = g.worker AND o.task <> g.task
        AND x.crashes > 0 AND +x.status IN ('pending', 'processing', 'cancelled'))
  ) + (
    NOT EXISTS (SELECT 1 FROM crash_groups o WHERE o.worker = t.worker)
    AND NOT EXISTS (SELECT 1 FROM tasks x INDEXED BY tasks_processing
      WHERE x.status = 'processing' AND x.worker = t.worker AND x.seq <> t.seq)
  ) END
FROM tasks t INDEXED BY tasks_processing WHERE t.status = 'processing' AND t.worker <> :worker
ORDER BY t.worker, t.seq LIMIT :limit;

-- name: running
SELECT id, fence, crashes, cancel_requested_at IS NOT NULL, kind, worker, crashes + 1
FROM tasks INDEXED BY tasks_processing WHERE status = 'processing' AND worker = :worker ORDER BY seq;

-- name: tidy_crash_groups
DELETE FROM crash_groups WHERE (task, worker) IN (
  SELECT c.task, c.worker FROM crash_groups c LEFT JOIN tasks t ON t.seq = c.task
  WHERE NOT (coalesce(t.crashes, 0) > 0 AND t.status IN ('pending', 'processing', 'cancelled')) LIMIT :limit)
RETURNING worker;

-- name: next_due
SELECT (SELECT min(run_at) FROM tasks INDEXED BY tasks_delayed WHERE status = 'pending' AND ready = 0 AND waiting_for IS NULL),
  (SELECT min(expires_at) FROM tasks INDEXED BY tasks_expiring WHERE status = 'pending' AND expires_at IS NOT NULL);

-- name: counts
SELECT queue, kind, status, ready, n FROM counters WHERE n > 0;

-- name: ready_queues
SELECT DISTINCT queue FROM counters WHERE ready = 1 AND n > 0 LIMIT :limit;

-- The index has the oldest of a queue first within each priority: walk from priority to priority.
-- name: oldest
WITH RECURSIVE heads (queue, priority) AS (
  SELECT q.value, (SELECT max(t.priority) FROM tasks t INDEXED BY tasks_ready
    WHERE t.status = 'pending' AND t.ready = 1 AND t.crashes < 2 AND t.queue = q.value) FROM json_each(:queues) q
  UNION ALL
  SELECT h.queue, (SELECT max(t.priority) FROM tasks t INDEXED BY tasks_ready
    WHERE t.status = 'pending' AND t.ready = 1 AND t.crashes < 2 AND t.queue = h.queue AND t.priority < h.priority)
  FROM heads h WHERE h.priority IS NOT NULL)
SELECT h.queue, (SELECT min(t.run_at) FROM tasks t INDEXED BY tasks_ready
  WHERE t.status = 'pending' AND t.ready = 1 AND t.crashes < 2 AND t.queue = h.queue AND t.priority = h.priority)
FROM heads h WHERE h.priority IS NOT NULL;

-- name: task_columns
t.seq, t.id, t.kind, t.queue, t.owner, t.status, t.cause, t.priority, t.run_at, t.attempt, t.max_attempts, t.crashes,
  t.version + coalesce(p.version, 0), t.created_at, t.started_at, t.completed_at, t.cancel_requested_at, t.waiting_for,
  t.tags;

-- name: task_joins
LEFT JOIN progress p ON p.task = t.seq
LEFT JOIN errors e ON (t.status = 'failed' OR t.status <> 'completed' AND t.attempt + t.crashes > 0) AND e.task = t.seq
  AND e.fence = (SELECT max(x.fence) FROM errors x WHERE x.task = t.seq);

-- name: get
SELECT {task_columns}, coalesce(t.args, a.args), coalesce(t.result, r.result), p.done, p.total, p.message,
  e.type, e.message, e.attempt, e.retryable
FROM json_each(:ids) i CROSS JOIN tasks t ON t.id = i.value
LEFT JOIN args a ON a.task = t.seq LEFT JOIN results r ON r.task = t.seq
{task_joins};

-- name: find
SELECT {task_columns}, NULL, NULL, p.done, p.total, p.message, e.type, e.message, e.attempt, e.retryable
FROM {source} {task_joins}
WHERE {conditions} ORDER BY {order} DESC LIMIT :limit;

-- name: find_documents
SELECT {task_columns}, coalesce(t.args, a.args), coalesce(t.result, r.result), p.done, p.total, p.message,
  e.type, e.message, e.attempt, e.retryable
FROM {source} LEFT JOIN args a ON a.task = t.seq LEFT JOIN results r ON r.task = t.seq {task_joins}
WHERE {conditions} ORDER BY {order} DESC LIMIT :limit;

-- name: source_tasks
tasks t;

-- name: source_tagged
tags g CROSS JOIN tasks t ON t.seq = g.task AND g.tag = :tag;

-- The two indexes leave out the common value; naming it lets the planner use them for the others.
-- name: when_owner
t.owner = :owner AND t.owner <> '';

-- name: when_no_owner
t.owner = '';

-- name: when_status
t.status = :status;

-- name: when_kind
t.kind = :kind;

-- name: when_queue
t.queue = :queue AND t.queue <> 'default';

-- name: when_default_queue
t.queue = 'default';

-- name: when_before_seq
t.seq < :before_seq;

-- name: when_tagged_before_seq
g.task < :before_seq;

-- Ids carry their time, so their index finds a neighbour well outside the range (listing.py says how far, for the
-- clock may have stepped) that bounds the walk; the exact test stays on created_at.
-- name: when_created_after
t.created_at > :created_after
  AND t.seq > coalesce((SELECT b.seq FROM tasks b WHERE b.id < :created_after_id ORDER BY b.id DESC LIMIT 1), 0);

-- name: when_created_before
t.created_at < :created_before
  AND t.seq < coalesce((SELECT b.seq FROM tasks b WHERE b.id >= :created_before_id ORDER BY b.id LIMIT 1),
    9223372036854775807);

-- Sorts the names, and reads the outputs one by one: whoever asks ends where he has enough of them. The LIMIT keeps
-- the planner from sorting the outputs as well.
-- name: steps
SELECT s.name, s.output, s.attempt, s.at
FROM (SELECT n.task, n.name FROM tasks t CROSS JOIN steps n ON n.task = t.seq
  WHERE t.id = :id ORDER BY n.ordinal LIMIT -1) o
CROSS JOIN steps s ON s.task = o.task AND s.name = o.name;

-- name: step_names
SELECT s.name, s.size, CASE WHEN s.size <= :most THEN s.output END
FROM tasks t CROSS JOIN steps s ON s.task = t.seq AND s.name > :after
WHERE t.id = :id ORDER BY s.name LIMIT :limit;

-- name: step_output
SELECT s.output FROM tasks t CROSS JOIN steps s ON s.task = t.seq AND s.name = :name WHERE t.id = :id;

-- name: count_events
SELECT count(*) FROM tasks t CROSS JOIN events e ON e.task = t.seq WHERE t.id = :id;

-- name: errors
SELECT e.fence, e.attempt, e.at, e.type, e.message, e.retryable, e.traceback
FROM tasks t CROSS JOIN errors e ON e.task = t.seq WHERE t.id = :id ORDER BY e.fence LIMIT :limit;

-- name: events
SELECT e.seq, t.id, e.at, e.name, e.status, e.cause, e.attempt, e.data
FROM tasks t CROSS JOIN events e ON e.task = t.seq AND e.seq > :after
WHERE t.id = :id ORDER BY e.seq LIMIT :limit;
