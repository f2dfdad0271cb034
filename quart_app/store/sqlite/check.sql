-- The statements of `check`.

-- name: unfinished_kinds
SELECT kind, sum(n) FROM counters WHERE status IN ('pending', 'processing') AND n > 0 GROUP BY kind ORDER BY kind;

-- name: stored_schedules
SELECT s.key, s.kind, s.source, s.args, s.paused, s.next_at, s.last_error FROM schedules s ORDER BY s.key LIMIT :limit;
