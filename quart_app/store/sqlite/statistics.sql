-- Figures of the tasks by kind.

-- The newest tasks of each status, by their index. The caller bounds how many are read, and only those are sorted. A
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

-- Figures over time. An event is counted once: the counts and the mark are one transaction.

-- name: stats_mark
SELECT seq, at FROM stats_mark;

-- Where a bounded number of events after the mark ends: (its last one, how many).
-- name: stats_until
SELECT max(seq), max(at), count(*) FROM (SELECT seq, at FROM events WHERE seq > :after ORDER BY seq LIMIT :limit);

-- Starts of attempts (one that goes on after a sleep, children or a signal is none) and ends of tasks. `p` is the event
-- before. A wait is known of the last start of a task whose plan has not changed since: `run_at` is of the next start
-- as soon as the task waits for one. How long it ran is known of the last end of a task, when it ran before.
-- name: stats_events
SELECT e.at, e.status, coalesce(t.kind, g.kind), coalesce(t.queue, g.queue),
  CASE WHEN e.cause = 'claim' AND coalesce(t.status, g.status) <> 'pending' AND coalesce(t.started_at, g.started_at) = e.at
    THEN max(e.at - max(p.at, coalesce(t.run_at, g.run_at)), 0) END,
  CASE WHEN p.status = 'processing' AND coalesce(t.status, g.status) = e.status
      AND coalesce(t.completed_at, g.completed_at) = max(e.at, coalesce(t.started_at, g.started_at))
    THEN coalesce(t.completed_at, g.completed_at) - coalesce(t.started_at, g.started_at) END
FROM events e CROSS JOIN events p ON p.seq = (SELECT max(q.seq) FROM events q WHERE q.task = e.task AND q.seq < e.seq)
LEFT JOIN tasks t ON t.seq = e.task LEFT JOIN stats_gone g ON g.task = e.task
WHERE e.seq > :after AND e.seq <= :upto AND e.name = 'status'
  AND (e.cause = 'claim' AND p.cause <> 'suspend' OR e.status IN ('completed', 'failed', 'cancelled'))
  AND coalesce(t.seq, g.task) IS NOT NULL;

-- name: stats_rows
SELECT s.width, s.start, s.dimension, s.name, s.started, s.completed, s.failed, s.cancelled, s.waited, s.ran
FROM json_each(:buckets) CROSS JOIN stats s
  ON s.width = value->>0 AND s.start = value->>1 AND s.dimension = value->>2;

-- name: move_stats_mark
UPDATE stats_mark SET seq = :upto, at = :at WHERE seq = :after RETURNING seq;

-- name: put_stats
INSERT INTO stats (width, start, dimension, name, started, completed, failed, cancelled,
  waited_p50, waited_p95, ran_p50, ran_p95, waited, ran)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7,
  value->>8, value->>9, value->>10, value->>11, value->>12, value->>13
FROM json_each(:figures) WHERE true
ON CONFLICT DO UPDATE SET started = excluded.started, completed = excluded.completed, failed = excluded.failed,
  cancelled = excluded.cancelled, waited_p50 = excluded.waited_p50, waited_p95 = excluded.waited_p95,
  ran_p50 = excluded.ran_p50, ran_p95 = excluded.ran_p95, waited = excluded.waited, ran = excluded.ran;

-- name: forget_counted
DELETE FROM stats_gone WHERE last <= :upto;

-- name: uncounted
SELECT EXISTS (SELECT 1 FROM stats_gone);

-- name: stats
SELECT start, name, started, completed, failed, cancelled, waited_p50, waited_p95, ran_p50, ran_p95 FROM stats
WHERE width = :width AND start >= :first AND start < :end AND dimension = :by;

-- name: old_stats
SELECT DISTINCT start FROM stats WHERE width = :width AND start <= :before ORDER BY start LIMIT :limit;

-- Whole buckets: by kind and by queue they stay equal.
-- name: prune_stats
DELETE FROM stats WHERE width = :width AND start IN (SELECT value FROM json_each(:starts));
