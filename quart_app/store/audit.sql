-- What `audit` reads, by name. Each statement walks one range of tasks, `:low` < seq <= `:high`, by an index.

-- name: range
SELECT max(seq), count(*) FROM (SELECT seq FROM tasks WHERE seq > :low ORDER BY seq LIMIT :n);

-- name: rows
SELECT t.seq, t.id, t.status, t.cause, t.version, t.fence,
  CASE
    WHEN (t.worker IS NULL) = (t.status = 'processing') THEN 'has a worker, or none, against its status'
    WHEN (t.completed_at IS NULL) = (t.status IN ('completed', 'failed', 'cancelled'))
      THEN 'has a time of its end, or none, against its status'
    WHEN t.ready = 1 AND (t.status <> 'pending' OR t.waiting_for IS NOT NULL) THEN 'is ready and must not be'
    WHEN t.waiting_for IS NOT NULL AND t.status <> 'pending' THEN 'waits for something and is not pending'
    WHEN t.completed_at < t.created_at OR t.completed_at < t.started_at OR t.started_at < t.created_at
      THEN 'has times out of order'
    WHEN t.attempt < 0 OR t.attempt > t.fence OR t.crashes < 0 OR t.status = 'processing' AND t.attempt < 1
      THEN 'has attempts or crashes that cannot be'
    WHEN t.delay_ms < 0 THEN 'has a delay that cannot be'
  END,
  (t.args IS NOT NULL) + EXISTS (SELECT 1 FROM args a WHERE a.task = t.seq),
  (t.result IS NOT NULL) + EXISTS (SELECT 1 FROM results r WHERE r.task = t.seq),
  t.status = 'failed' AND NOT EXISTS (SELECT 1 FROM errors e WHERE e.task = t.seq),
  coalesce(json_array_length(t.tags), 0) <> (SELECT count(*) FROM tags g WHERE g.task = t.seq)
FROM tasks t WHERE t.seq > :low AND t.seq <= :high ORDER BY t.seq;

-- name: walks
SELECT e.task, e.status, e.cause FROM events e
WHERE e.task > :low AND e.task <= :high AND e.name = 'status' ORDER BY e.task, e.seq;

-- name: orphan_args
SELECT task FROM args WHERE task > :low AND task <= :high AND task NOT IN (SELECT seq FROM tasks)
  AND task NOT IN (SELECT task FROM deleted_tasks) LIMIT 100;

-- name: orphan_results
SELECT task FROM results WHERE task > :low AND task <= :high AND task NOT IN (SELECT seq FROM tasks)
  AND task NOT IN (SELECT task FROM deleted_tasks) LIMIT 100;

-- name: orphan_progress
SELECT task FROM progress WHERE task > :low AND task <= :high AND task NOT IN (SELECT seq FROM tasks)
  AND task NOT IN (SELECT task FROM deleted_tasks) LIMIT 100;

-- name: orphan_steps
SELECT DISTINCT task FROM steps WHERE task > :low AND task <= :high AND task NOT IN (SELECT seq FROM tasks)
  AND task NOT IN (SELECT task FROM deleted_tasks) LIMIT 100;

-- name: orphan_errors
SELECT DISTINCT task FROM errors WHERE task > :low AND task <= :high AND task NOT IN (SELECT seq FROM tasks)
  AND task NOT IN (SELECT task FROM deleted_tasks) LIMIT 100;

-- name: orphan_tags
SELECT DISTINCT task FROM tags WHERE task > :low AND task <= :high AND task NOT IN (SELECT seq FROM tasks)
  AND task NOT IN (SELECT task FROM deleted_tasks) LIMIT 100;

-- name: orphan_events
SELECT DISTINCT task FROM events WHERE task > :low AND task <= :high AND task NOT IN (SELECT seq FROM tasks)
  AND task NOT IN (SELECT task FROM deleted_tasks) LIMIT 100;

-- What is left of a deleted task goes in bites: the task itself is gone.
-- name: still_there
SELECT task FROM deleted_tasks WHERE task > :low AND task <= :high AND task IN (SELECT seq FROM tasks) LIMIT 100;

-- name: orphan_crash_groups
SELECT DISTINCT task FROM crash_groups WHERE task > :low AND task <= :high AND task NOT IN (SELECT seq FROM tasks)
LIMIT 100;

-- A key outlives its task, but it never names a task of somebody else.
-- name: keys
SELECT k.owner, k.key, k.task_id, t.id IS NOT NULL AND t.owner <> k.owner
FROM idempotency_keys k LEFT JOIN tasks t ON t.id = k.task_id
WHERE (k.owner, k.key) > (:owner, :key) ORDER BY k.owner, k.key LIMIT :n;

-- name: api_keys
SELECT name, CASE
    WHEN old_hash = hash THEN 'has one secret twice'
    WHEN (old_hash IS NULL) <> (old_until IS NULL) THEN 'has an old secret without an end'
    WHEN revoked_at IS NOT NULL AND old_hash IS NOT NULL THEN 'is revoked and has an old secret'
    WHEN expires_at <= created_at THEN 'is over before it was made'
    WHEN kinds IS NOT NULL AND NOT json_valid(kinds) THEN 'has kinds that cannot be read'
  END
FROM api_keys ORDER BY name;

-- name: audit_log
SELECT seq, at > last_at OR times < 1 OR refusal <> (act = 'key.refused') OR (refusal = 0 AND times <> 1)
FROM audit_log WHERE seq > :seq ORDER BY seq LIMIT :n;

-- name: real_counts
SELECT queue, kind, status, ready, count(*) FROM tasks GROUP BY queue, kind, status, ready;

-- name: kept_counts
SELECT queue, kind, status, ready, n FROM counters WHERE n > 0;

-- name: integrity
PRAGMA integrity_check(20);
