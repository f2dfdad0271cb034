-- Tasks whose worker is gone.

-- name: probe
UPDATE probe SET n = (n + 1) % 1000000;

-- `sole`: how many of its crashes, including this one, no other task can have caused, because all tasks that ran beside
-- it have recorded a step or ended since. It is counted only for tasks with `from_crashes` crashes or more.
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
