-- Why a task is where it is. Each statement reads a bounded part of an index.

-- name: standing
SELECT t.ready, t.crashes, t.lane, coalesce(q.paused, 0), coalesce(k.paused, 0), l.parked, l.share, l.resumed,
  EXISTS (SELECT 1 FROM limits m WHERE m.name = 'queue:' || t.queue),
  (SELECT coalesce(sum(n), 0) FROM counters c WHERE c.queue = t.queue AND c.status = 'pending' AND c.ready = 1)
FROM tasks t LEFT JOIN queues q ON q.queue = t.queue LEFT JOIN laned_kinds k ON k.kind = t.kind
  LEFT JOIN lanes l ON l.lane = t.lane
WHERE t.seq = :seq;

-- Tasks without a lane that start before one of this priority, due time and number.
-- name: plain_before
SELECT (SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_ready
    WHERE lane IS NULL AND queue = :queue AND status = 'pending' AND ready = 1 AND crashes < 2 AND priority > :priority
    LIMIT :most))
  + (SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_ready
    WHERE lane IS NULL AND queue = :queue AND status = 'pending' AND ready = 1 AND crashes < 2 AND priority = :priority
      AND (run_at, seq) < (:run_at, :seq) LIMIT :most));

-- name: lane_before
SELECT (SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_lane
    WHERE lane = :lane AND status = 'pending' AND ready = 1 AND crashes < 2 AND priority > :priority LIMIT :most))
  + (SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_lane
    WHERE lane = :lane AND status = 'pending' AND ready = 1 AND crashes < 2 AND priority = :priority
      AND (run_at, seq) < (:run_at, :seq) LIMIT :most));

-- name: lanes_beside
SELECT lane FROM lanes INDEXED BY lanes_open WHERE share = :share AND ready > 0 AND parked IS NULL LIMIT :most;

-- name: owners_beside
SELECT count(*), coalesce(max(share = :share), 0) FROM (SELECT share FROM shares INDEXED BY shares_open
  WHERE queue = :queue AND open > 0 LIMIT :most);

-- name: plain_waits
SELECT 1 FROM tasks INDEXED BY tasks_ready
WHERE lane IS NULL AND queue = :queue AND status = 'pending' AND ready = 1 AND crashes < 2 LIMIT 1;

-- name: parked_before
SELECT coalesce(sum(ready), 0) FROM (SELECT ready FROM lanes INDEXED BY lanes_parked
  WHERE parked = :gate AND ready > 0 AND lane <> :lane LIMIT :most);

-- How long the last runs of a kind took, among the tasks that have completed most recently.
-- name: last_runs
SELECT ms FROM (SELECT kind, completed_at - started_at ms FROM tasks INDEXED BY tasks_by_status
  WHERE status = 'completed' ORDER BY seq DESC LIMIT :looked) WHERE kind = :kind LIMIT :most;

-- name: limits_of_lane
SELECT u.gate, u.name, u.running, m.max_running, m.max_starts, m.in_ms, u.started
FROM lane_gates b CROSS JOIN gates u ON u.gate = b.gate LEFT JOIN limits m ON m.name = u.name WHERE b.lane = :lane;

-- name: limit_of_queue
SELECT m.max_running, m.max_starts, m.in_ms, coalesce((SELECT u.started FROM gates u WHERE u.gate = m.name), 0)
FROM limits m WHERE m.name = :name;
