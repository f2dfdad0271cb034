-- Why a task is where it is. Each statement reads a bounded part of an index.

-- A lane that is parked for its queue or for its kind is held back by what `queue_paused` and the limit of the queue say.
-- name: standing
SELECT t.ready, t.crashes, coalesce(q.paused, 0), coalesce(k.paused, 0), coalesce(q.sole, '') = t.owner, s.share,
  nullif(t.lane, 0), t.lane IS NOT NULL, coalesce(l.gates, '[]'), coalesce(l.resumed, 0),
  CASE WHEN substr(l.parked, 1, 6) NOT IN ('queue:', 'pause:') THEN l.parked END, l.parked_at,
  max((SELECT coalesce(sum(n), 0) FROM counters c WHERE c.queue = t.queue AND c.status = 'pending' AND c.ready = 1) - 1, 0)
FROM tasks t LEFT JOIN queues q ON q.queue = t.queue LEFT JOIN laned_kinds k ON k.kind = t.kind
  LEFT JOIN lanes l ON l.lane = t.lane LEFT JOIN shares s ON s.queue = t.queue AND s.owner = t.owner
WHERE t.seq = :seq AND +t.status = :status;

-- The same of a task that is not there yet.
-- name: coming
SELECT coalesce(q.paused, 0), coalesce(k.paused, 0), coalesce(q.sole, '') = :owner, s.share,
  l.lane, :gates <> '[]' OR coalesce(k.paused, 0) OR coalesce(q.sole, '') <> :owner, :gates, 0,
  CASE WHEN l.ready > 0 AND substr(l.parked, 1, 6) NOT IN ('queue:', 'pause:') THEN l.parked END, l.parked_at,
  (SELECT coalesce(sum(n), 0) FROM counters c WHERE c.queue = :queue AND c.status = 'pending' AND c.ready = 1)
FROM (SELECT 1) LEFT JOIN queues q ON q.queue = :queue LEFT JOIN laned_kinds k ON k.kind = :kind
  LEFT JOIN shares s ON s.queue = :queue AND s.owner = :owner
  LEFT JOIN lanes l ON l.share = s.share AND l.kind = :kind AND l.gates = :gates AND l.limits = coalesce(k.limits, '[]')
    AND l.resumed = 0;

-- Tasks of a higher priority, and those of the same one that come before this due time and number: of those without a
-- lane, and of these lanes.
-- name: plain_before
SELECT (SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_ready
    WHERE lane IS NULL AND queue = :queue AND status = 'pending' AND ready = 1 AND crashes < 2 AND priority > :priority
    LIMIT :most)),
  (SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_ready
    WHERE lane IS NULL AND queue = :queue AND status = 'pending' AND ready = 1 AND crashes < 2 AND priority = :priority
      AND (run_at, seq) < (:run_at, :seq) LIMIT :most));

-- name: lanes_before
SELECT (SELECT count(*) FROM (SELECT 1 FROM json_each(:lanes) i CROSS JOIN tasks t INDEXED BY tasks_lane
    ON t.lane = i.value AND t.status = 'pending' AND t.ready = 1 AND t.crashes < 2 AND t.priority > :priority
    LIMIT :most)),
  (SELECT count(*) FROM (SELECT 1 FROM json_each(:lanes) i CROSS JOIN tasks t INDEXED BY tasks_lane
    ON t.lane = i.value AND t.status = 'pending' AND t.ready = 1 AND t.crashes < 2 AND t.priority = :priority
      AND (t.run_at, t.seq) < (:run_at, :seq) LIMIT :most));

-- Tasks of a lower priority, and the first and the last due time of the same one.
-- name: plain_spread
SELECT (SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_ready
    WHERE lane IS NULL AND queue = :queue AND status = 'pending' AND ready = 1 AND crashes < 2 AND priority < :priority
    LIMIT :most)),
  (SELECT min(run_at) FROM tasks INDEXED BY tasks_ready
    WHERE lane IS NULL AND queue = :queue AND status = 'pending' AND ready = 1 AND crashes < 2 AND priority = :priority),
  (SELECT max(run_at) FROM tasks INDEXED BY tasks_ready
    WHERE lane IS NULL AND queue = :queue AND status = 'pending' AND ready = 1 AND crashes < 2 AND priority = :priority);

-- name: lane_spread
SELECT (SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_lane
    WHERE lane = :lane AND status = 'pending' AND ready = 1 AND crashes < 2 AND priority < :priority LIMIT :most)),
  (SELECT min(run_at) FROM tasks INDEXED BY tasks_lane
    WHERE lane = :lane AND status = 'pending' AND ready = 1 AND crashes < 2 AND priority = :priority),
  (SELECT max(run_at) FROM tasks INDEXED BY tasks_lane
    WHERE lane = :lane AND status = 'pending' AND ready = 1 AND crashes < 2 AND priority = :priority);

-- Due tasks that are in no lane.
-- name: plain_ready
SELECT (SELECT coalesce(sum(n), 0) FROM counters WHERE queue = :queue AND status = 'pending' AND ready = 1)
  - (SELECT coalesce(sum(ready), 0) FROM (SELECT l.ready FROM shares s CROSS JOIN lanes l ON l.share = s.share
    WHERE s.queue = :queue LIMIT :most));

-- name: lanes_ready
SELECT coalesce(sum(ready), 0) FROM lanes WHERE lane IN (SELECT value FROM json_each(:lanes));

-- name: lanes_beside
SELECT lane FROM lanes INDEXED BY lanes_open WHERE share = :share AND ready > 0 AND parked IS NULL LIMIT :most;

-- Other owners whose tasks may start; and how many tasks of some of them, in some of their lanes, come before one with
-- so many of its `own` before it.
-- name: owners_beside
SELECT (SELECT count(*) FROM (SELECT 1 FROM shares INDEXED BY shares_open
    WHERE queue = :queue AND open > 0 AND share <> :share LIMIT :most)),
  (SELECT coalesce(sum(min(:own + 1, (SELECT sum(ready) FROM (SELECT ready FROM lanes INDEXED BY lanes_open
      WHERE share = s.share AND ready > 0 AND parked IS NULL LIMIT :few)))), 0)
    FROM (SELECT share FROM shares INDEXED BY shares_open
      WHERE queue = :queue AND open > 0 AND share <> :share ORDER BY vtime, share LIMIT :some) s);

-- name: plain_waits
SELECT 1 FROM tasks INDEXED BY tasks_ready
WHERE lane IS NULL AND queue = :queue AND status = 'pending' AND ready = 1 AND crashes < 2 LIMIT 1;

-- Tasks of other lanes that are let in before one with so many of its `own` before it: one of each lane in turn, first
-- of the lane that is parked for longest.
-- name: parked_before
SELECT coalesce(sum(min(ready, :own + ((parked_at, lane) < (coalesce(:parked_at, parked_at + 1), :lane)))), 0)
FROM (SELECT lane, ready, parked_at FROM lanes INDEXED BY lanes_parked
  WHERE parked = :gate AND ready > 0 AND lane <> :lane LIMIT :most);

-- How long the last runs of a kind took, among the tasks that have completed most recently.
-- name: last_runs
SELECT ms FROM (SELECT kind, completed_at - started_at ms FROM tasks INDEXED BY tasks_by_status
  WHERE status = 'completed' ORDER BY seq DESC LIMIT :looked) WHERE kind = :kind LIMIT :most;

-- The same among the newest tasks of the kind, for one that runs seldom.
-- name: last_runs_of_kind
SELECT completed_at - started_at FROM (SELECT status, started_at, completed_at FROM tasks INDEXED BY tasks_by_kind
  WHERE kind = :kind ORDER BY seq DESC LIMIT :looked) WHERE status = 'completed' LIMIT :most;

-- Of gates, given as [gate, name of its limit], those that limit something.
-- name: limits_of_gates
SELECT i.value->>0, m.name, coalesce(u.running, 0), m.max_running, m.max_starts, m.in_ms, coalesce(u.started, 0)
FROM json_each(:gates) i CROSS JOIN limits m ON m.name = i.value->>1 LEFT JOIN gates u ON u.gate = i.value->>0
WHERE m.max_running IS NOT NULL OR m.max_starts IS NOT NULL;

-- Of the last starts under a gate, as many as its rate allows: the number of the first one, the date of the one after
-- whose window the start at this place may be, and how many of the first ones are over.
-- name: starts_in_window
SELECT (SELECT min(n) FROM gate_starts WHERE gate = :gate AND n >= :low),
  (SELECT up FROM gate_starts WHERE gate = :gate AND n = :place),
  (SELECT count(*) FROM (SELECT up FROM gate_starts WHERE gate = :gate AND n >= :low ORDER BY n LIMIT :most)
    WHERE up <= :since);
