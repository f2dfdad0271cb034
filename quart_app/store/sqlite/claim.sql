-- Claims the tasks that run next.

-- A procedure, see store/claim_procedure.py; so is the next one.
-- name: claim
SELECT 1 WHERE 0;

-- name: claim_suspects
SELECT 1 WHERE 0;

-- The tasks of a queue in which nobody waits for a turn and nothing is limited.
-- name: claim_plain
UPDATE tasks SET status = 'processing', cause = 'claim', version = version + 1, ready = 0, attempt = attempt + 1,
  fence = fence + 1, worker = :worker, started_at = max(:now, created_at), changed_at = :now, expires_at = NULL,
  code_version = :code_version
WHERE seq IN (SELECT seq FROM tasks INDEXED BY tasks_ready
  WHERE status = 'pending' AND ready = 1 AND crashes < 2 AND lane IS NULL AND queue = :queue
    AND (expires_at IS NULL OR expires_at > :now)
  ORDER BY priority DESC, run_at, seq LIMIT :limit)
RETURNING id, fence, kind, coalesce(args, (SELECT a.args FROM args a WHERE a.task = seq)), queue, owner, attempt,
  max_attempts, crashes, lived_ms, timeout_ms, traceparent, cancel_requested_at IS NOT NULL,
  (fence > 1 OR forked_from IS NOT NULL) AND EXISTS (SELECT 1 FROM steps s WHERE s.task = seq), depth,
  (SELECT p.queue FROM tasks p WHERE p.seq = tasks.parent);

-- name: claim_granted
UPDATE tasks SET status = 'processing', cause = 'claim', version = version + 1, ready = 0, attempt = attempt + 1,
  fence = fence + 1, worker = :worker, started_at = max(:now, created_at), changed_at = :now, expires_at = NULL,
  code_version = :code_version,
  lane = coalesce((SELECT l.main FROM lanes l WHERE l.lane = tasks.lane), lane)
WHERE seq IN (SELECT value FROM json_each(:seqs))
RETURNING id, fence, kind, coalesce(args, (SELECT a.args FROM args a WHERE a.task = seq)), queue, owner, attempt,
  max_attempts, crashes, lived_ms, timeout_ms, traceparent, cancel_requested_at IS NOT NULL,
  (fence > 1 OR forked_from IS NOT NULL) AND EXISTS (SELECT 1 FROM steps s WHERE s.task = seq), depth,
  (SELECT p.queue FROM tasks p WHERE p.seq = tasks.parent);
