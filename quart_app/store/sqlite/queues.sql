-- Waiting tasks, for the dispatcher and for figures.

-- name: next_due
SELECT (SELECT min(run_at) FROM tasks INDEXED BY tasks_delayed WHERE status = 'pending' AND ready = 0 AND waiting_for IS NULL),
  (SELECT min(expires_at) FROM tasks INDEXED BY tasks_expiring WHERE status = 'pending' AND expires_at IS NOT NULL),
  (SELECT min(run_at) FROM tasks INDEXED BY tasks_limited
    WHERE status = 'pending' AND substr(waiting_for, 1, 7) = 'signal:' AND delay_ms IS NOT NULL);

-- name: counts
SELECT queue, kind, status, ready, n FROM counters WHERE n > 0;

-- How many tasks sleep, wait for children, wait for signals.
-- name: suspended
SELECT (SELECT count(*) FROM tasks INDEXED BY tasks_asleep
    WHERE status = 'pending' AND ready = 0 AND waiting_for IS NULL AND cause = 'suspend'),
  (SELECT count(*) FROM tasks INDEXED BY tasks_waiting WHERE waiting_for = 'children'),
  (SELECT count(*) FROM tasks INDEXED BY tasks_signalled WHERE substr(waiting_for, 1, 7) = 'signal:');

-- name: ready_queues
SELECT DISTINCT queue FROM counters c WHERE ready = 1 AND n > 0
  AND NOT EXISTS (SELECT 1 FROM queues q WHERE q.queue = c.queue AND q.paused = 1) LIMIT :limit;

-- The index has the oldest task of a queue first within each priority, so the walk goes from priority to priority.
-- name: oldest
WITH RECURSIVE heads (queue, priority) AS (
  SELECT q.value, (SELECT max(t.priority) FROM tasks t INDEXED BY tasks_ready
    WHERE t.status = 'pending' AND t.ready = 1 AND t.crashes < 2 AND t.lane IS NULL AND t.queue = q.value) FROM json_each(:queues) q
  UNION ALL
  SELECT h.queue, (SELECT max(t.priority) FROM tasks t INDEXED BY tasks_ready
    WHERE t.status = 'pending' AND t.ready = 1 AND t.crashes < 2 AND t.lane IS NULL AND t.queue = h.queue AND t.priority < h.priority)
  FROM heads h WHERE h.priority IS NOT NULL)
SELECT h.queue, (SELECT min(t.run_at) FROM tasks t INDEXED BY tasks_ready
  WHERE t.status = 'pending' AND t.ready = 1 AND t.crashes < 2 AND t.lane IS NULL AND t.queue = h.queue AND t.priority = h.priority)
FROM heads h WHERE h.priority IS NOT NULL;
