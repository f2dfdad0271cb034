-- Upkeep by time: delayed tasks become ready, and tasks past their expiry fail.

-- name: expire_errors
INSERT INTO errors (task, fence, attempt, at, type, message, retryable, traceback, fingerprint)
SELECT seq, fence, attempt, :now, 'expired', 'it did not start before its time ran out', 0, NULL,
  error_fingerprint(kind, 'expired', NULL)
FROM tasks INDEXED BY tasks_expiring WHERE status = 'pending' AND expires_at IS NOT NULL AND expires_at <= :now
ORDER BY expires_at, seq LIMIT :limit
ON CONFLICT DO NOTHING;

-- name: expire
UPDATE tasks SET status = 'failed', cause = 'expire', version = version + 1, ready = 0, waiting_for = NULL,
  completed_at = :now, changed_at = :now
WHERE seq IN (SELECT seq FROM tasks INDEXED BY tasks_expiring
  WHERE status = 'pending' AND expires_at IS NOT NULL AND expires_at <= :now ORDER BY expires_at, seq LIMIT :limit)
RETURNING id, {wakes},
  EXISTS (SELECT 1 FROM families f WHERE f.parent = tasks.seq) + 2 * (tasks.unique_key IS NOT NULL), kind;

-- Of the tasks that make_ready and end_waits wake up next.
-- name: due_queues
SELECT queue FROM (SELECT queue FROM tasks INDEXED BY tasks_delayed
  WHERE status = 'pending' AND ready = 0 AND waiting_for IS NULL AND run_at <= :now ORDER BY run_at LIMIT :limit)
UNION ALL SELECT queue FROM (SELECT queue FROM tasks INDEXED BY tasks_limited
  WHERE status = 'pending' AND substr(waiting_for, 1, 7) = 'signal:' AND delay_ms IS NOT NULL AND run_at <= :now
  ORDER BY run_at LIMIT :limit);

-- name: make_ready
UPDATE tasks SET ready = 1
WHERE seq IN (SELECT seq FROM tasks INDEXED BY tasks_delayed
  WHERE status = 'pending' AND ready = 0 AND waiting_for IS NULL AND run_at <= :now ORDER BY run_at LIMIT :limit)
RETURNING queue, crashes;

-- Their wait for a signal is over.
-- name: end_waits
UPDATE tasks SET waiting_for = NULL, ready = 1
WHERE seq IN (SELECT seq FROM tasks INDEXED BY tasks_limited
  WHERE status = 'pending' AND substr(waiting_for, 1, 7) = 'signal:' AND delay_ms IS NOT NULL AND run_at <= :now
  ORDER BY run_at LIMIT :limit)
RETURNING queue, crashes;

-- A task that waits for its kind has been claimed before, so it is due.
-- name: resume_waiting
UPDATE tasks SET waiting_for = NULL, ready = 1
WHERE seq IN (SELECT seq FROM tasks WHERE waiting_for IN (SELECT 'kind:' || value FROM json_each(:kinds)) LIMIT :limit)
RETURNING queue;
