-- The statements of `audit`. Each one walks one range of tasks, `:low` < seq <= `:high`, by an index.

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

-- The rows of a deleted task are deleted in batches; the task itself must be gone.
-- name: still_there
SELECT task FROM deleted_tasks WHERE task > :low AND task <= :high AND task IN (SELECT seq FROM tasks) LIMIT 100;

-- name: orphan_crash_groups
SELECT DISTINCT task FROM crash_groups WHERE task > :low AND task <= :high AND task NOT IN (SELECT seq FROM tasks)
LIMIT 100;

-- name: orphan_signals
SELECT DISTINCT task FROM signals WHERE task > :low AND task <= :high AND task NOT IN (SELECT seq FROM tasks)
  AND task NOT IN (SELECT task FROM deleted_tasks) LIMIT 100;

-- Children may outlive their parent; then its counts go with what is left of it.
-- name: families
SELECT f.parent, CASE
    WHEN (f.total, f.ended, f.failed, f.waits) IS NOT (
      count(*), count(k.completed_at), count(CASE WHEN k.status = 'failed' THEN 1 END), sum(c.awaited))
      THEN 'says ' || f.total || ' children, ' || f.ended || ' ended, ' || f.failed || ' failed, ' || f.waits ||
        ' awaited; there are ' || count(*) || ', ' || count(k.completed_at) || ', ' ||
        count(CASE WHEN k.status = 'failed' THEN 1 END) || ', ' || sum(c.awaited)
    WHEN count(*) <> count(k.seq) THEN 'has children that do not exist'
    WHEN sum(k.parent IS NOT f.parent) THEN 'has children of another parent'
    WHEN sum(c.awaited AND k.completed_at IS NOT NULL) THEN 'waits for a child that has ended'
    WHEN sum(NOT k.held) AND max(p.completed_at IS NULL AND p.seq IS NOT NULL)
      THEN 'has children that retention does not spare, and its parent has not ended'
  END
FROM families f JOIN children c ON c.parent = f.parent LEFT JOIN tasks k ON k.seq = c.task
LEFT JOIN tasks p ON p.seq = f.parent
WHERE f.parent NOT IN (SELECT task FROM deleted_tasks) GROUP BY f.parent;

-- name: failures
SELECT f.task, CASE
    WHEN t.seq IS NULL OR t.status <> 'failed' THEN 'stands in a group of errors, and is not failed or not there'
    WHEN f.owner <> t.owner OR f.at <> t.completed_at THEN 'stands in a group of errors with another owner or time'
    WHEN f.fingerprint IS NOT (SELECT e.fingerprint FROM errors e WHERE e.task = f.task ORDER BY e.fence DESC LIMIT 1)
      THEN 'stands in another group of errors than that of its last one'
  END
FROM failures f LEFT JOIN tasks t ON t.seq = f.task
UNION ALL
SELECT t.seq, 'is failed, and stands in no group of errors' FROM tasks t
WHERE t.status = 'failed' AND NOT EXISTS (SELECT 1 FROM failures f WHERE f.task = t.seq);

-- name: real_groups
SELECT whose, fingerprint, count(*), max(at) FROM (
  SELECT '*' AS whose, fingerprint, at FROM failures
  UNION ALL SELECT '=' || owner, fingerprint, at FROM failures WHERE owner <> '')
GROUP BY whose, fingerprint;

-- name: kept_groups
SELECT whose, fingerprint, n, last_at FROM error_groups;

-- name: waits
SELECT t.id, 'waits for children, and none of them is awaited' FROM tasks t LEFT JOIN families f ON f.parent = t.seq
WHERE t.waiting_for = 'children' AND coalesce(f.waits, 0) = 0
UNION ALL
SELECT t.id, 'waits for a signal, and has no record of that' FROM tasks t INDEXED BY tasks_signalled
WHERE substr(t.waiting_for, 1, 7) = 'signal:' AND NOT EXISTS (SELECT 1 FROM steps s WHERE s.task = t.seq AND s.type = 'wait')
UNION ALL
SELECT t.id, 'waits for a signal that is there' FROM tasks t INDEXED BY tasks_signalled
CROSS JOIN signals s INDEXED BY signals_open ON s.task = t.seq AND s.step IS NULL AND s.name = substr(t.waiting_for, 8)
WHERE substr(t.waiting_for, 1, 7) = 'signal:';

-- name: held_keys
SELECT u.key, CASE
    WHEN t.id IS NULL OR t.completed_at IS NOT NULL THEN 'is held by a task that is not there or has ended'
    WHEN (t.owner, t.kind, t.unique_key) IS NOT (u.owner, u.kind, u.key) THEN 'is held by a task that has another one'
    WHEN (u.ahead IS NOT NULL) <> coalesce(t.waiting_for = 'unique_key', 0)
      THEN 'is held by a task that waits for none, or does not wait for the one ahead'
    WHEN u.ahead IS NOT NULL AND (a.id IS NULL OR a.completed_at IS NOT NULL) THEN 'has a task ahead that is not there or has ended'
    WHEN u.ahead IS NOT NULL AND (a.owner, a.kind, a.unique_key) IS NOT (u.owner, u.kind, u.key)
      THEN 'has a task ahead that has another one'
    WHEN u.ahead IS NOT NULL AND (a.fence = 0 OR t.fence > 0) THEN 'has a task ahead that never ran, or one behind that did'
  END
FROM unique_keys u LEFT JOIN tasks t ON t.id = u.task_id LEFT JOIN tasks a ON a.id = u.ahead;

-- name: keyless
SELECT t.unique_key, 'is not held by task ' || t.id || ', which has not ended' FROM tasks t INDEXED BY tasks_by_unique_key
WHERE t.unique_key IS NOT NULL AND t.completed_at IS NULL AND NOT EXISTS (SELECT 1 FROM unique_keys u
  WHERE u.owner = t.owner AND u.kind = t.kind AND u.key = t.unique_key AND t.id IN (u.task_id, u.ahead));

-- A key outlives its task, but it never names a task of another owner.
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
