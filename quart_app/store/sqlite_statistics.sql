-- Figures of the tasks by kind.

-- The newest of each status by their index; whoever asks bounds how many are read, and only those are sorted. A
-- percentile is the value at its rank (nearest rank).
-- name: kind_figures
WITH ended AS (
  SELECT * FROM (SELECT kind, status, fence, started_at, completed_at FROM tasks INDEXED BY tasks_by_status
    WHERE status = 'completed' ORDER BY seq DESC LIMIT :limit) WHERE completed_at >= :since
  UNION ALL
  SELECT * FROM (SELECT kind, status, fence, started_at, completed_at FROM tasks INDEXED BY tasks_by_status
    WHERE status = 'failed' ORDER BY seq DESC LIMIT :limit) WHERE completed_at >= :since
  UNION ALL
  SELECT * FROM (SELECT kind, status, fence, started_at, completed_at FROM tasks INDEXED BY tasks_by_status
    WHERE status = 'cancelled' ORDER BY seq DESC LIMIT :limit) WHERE completed_at >= :since),
ranked AS (
  SELECT kind, status, fence, completed_at - started_at AS ms,
    row_number() OVER (PARTITION BY kind, started_at IS NULL ORDER BY completed_at - started_at) AS place,
    count(started_at) OVER (PARTITION BY kind) AS timed
  FROM ended)
SELECT kind, sum(status = 'completed'), sum(status = 'failed'), sum(status = 'cancelled'), sum(fence),
  max(CASE WHEN place = (timed * 50 + 99) / 100 THEN ms END),
  max(CASE WHEN place = (timed * 95 + 99) / 100 THEN ms END)
FROM ranked GROUP BY kind;

-- name: put_statistics
INSERT INTO statistics (id, at, document) VALUES (1, :at, :document)
ON CONFLICT (id) DO UPDATE SET at = excluded.at, document = excluded.document;

-- name: statistics
SELECT document FROM statistics;
