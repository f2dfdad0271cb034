-- The statements of `ctx.query`: reports.py lists them and their columns.
--
-- Statements that show tasks take `:owner` and show only its rows (NULL: all rows). It comes from the context, never
-- from a handler. A page walks :limit rows before the filters, so that no filter can make a statement walk far. `next`
-- is where the following page starts (NULL: there is none), and is in each row. When the filters leave nothing, one row
-- has NULL in its other columns.

-- name: report_tasks
WITH page (low) AS (SELECT (SELECT seq FROM tasks WHERE seq <= :upto ORDER BY seq DESC LIMIT 1 OFFSET :limit))
SELECT page.low, t.id, t.kind, t.queue, t.owner, t.status, t.priority, t.attempt, t.max_attempts, t.crashes,
  t.created_at, t.started_at, t.completed_at, e.type, e.message
FROM page
LEFT JOIN tasks t NOT INDEXED ON t.seq > coalesce(page.low, 0) AND t.seq <= :upto
  AND (:owner IS NULL OR t.owner = :owner)
  AND (:status IS NULL OR t.status = :status) AND (:kind IS NULL OR t.kind = :kind)
  AND (:created_after IS NULL OR t.created_at > :created_after)
  AND (:created_before IS NULL OR t.created_at < :created_before)
LEFT JOIN errors e ON t.status = 'failed' AND e.task = t.seq
  AND e.fence = (SELECT max(x.fence) FROM errors x WHERE x.task = t.seq)
ORDER BY t.seq DESC;

-- name: report_errors
WITH page (task, fence) AS (SELECT low.task, low.fence FROM (SELECT 1) LEFT JOIN (
  SELECT task, fence FROM errors WHERE (task, fence) <= (:task, :fence) ORDER BY task DESC, fence DESC
  LIMIT 1 OFFSET :limit) low)
SELECT page.task, page.fence, t.id, t.kind, t.status, e.attempt, e.at, e.type, e.message, e.retryable
FROM page
LEFT JOIN errors e ON (e.task, e.fence) > (coalesce(page.task, 0), coalesce(page.fence, 0))
  AND (e.task, e.fence) <= (:task, :fence)
  AND EXISTS (SELECT 1 FROM tasks x WHERE x.seq = e.task AND (:owner IS NULL OR x.owner = :owner)
    AND (:status IS NULL OR x.status = :status) AND (:kind IS NULL OR x.kind = :kind)
    AND (:created_after IS NULL OR x.created_at > :created_after)
    AND (:created_before IS NULL OR x.created_at < :created_before))
LEFT JOIN tasks t ON t.seq = e.task
ORDER BY e.task DESC, e.fence DESC;

-- name: report_users
SELECT id, username, email FROM users WHERE id > :after ORDER BY id LIMIT :limit;

-- name: newest_task
SELECT max(seq) FROM tasks;

-- name: gone
SELECT i.value FROM json_each(:ids) i WHERE NOT EXISTS (SELECT 1 FROM tasks t WHERE t.id = i.value);
