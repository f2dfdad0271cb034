-- Limits of tasks and pauses: what the code declares, what operators set, and how it is used.

-- At a start: how old each start is, never more than the truth (core/limits.py, Moment.age).
-- name: age_starts
UPDATE gate_starts SET up = :up - age, wall = :now - age
FROM (SELECT gate g, n m, max(0, min(:now - wall, CASE WHEN up <= :up THEN :up - up ELSE :now - wall END)) age FROM gate_starts)
WHERE gate = g AND n = m;

-- name: forget_openings
UPDATE gates SET dirty = 1, opens = NULL WHERE opens IS NOT NULL;

-- name: undeclare_limits
UPDATE limits SET declared = 0, concurrency = NULL, rate = NULL, window_ms = NULL
WHERE declared = 1 AND name NOT IN (SELECT value FROM json_each(:names));

-- name: declare_limit
INSERT INTO limits (name, concurrency, rate, window_ms, declared) VALUES (:name, :concurrency, :rate, :window_ms, 1)
ON CONFLICT (name) DO UPDATE SET concurrency = excluded.concurrency, rate = excluded.rate,
  window_ms = excluded.window_ms, declared = 1
WHERE (declared, limits.concurrency, limits.rate, limits.window_ms)
  IS NOT (1, excluded.concurrency, excluded.rate, excluded.window_ms);

-- name: drop_kinds
DELETE FROM laned_kinds WHERE paused = 0 AND kind NOT IN (SELECT value FROM json_each(:kinds));

-- name: unlimit_kinds
UPDATE laned_kinds SET limits = '[]' WHERE paused = 1 AND limits <> '[]' AND kind NOT IN (SELECT value FROM json_each(:kinds));

-- name: declare_kind
INSERT INTO laned_kinds (kind, limits) VALUES (:kind, :limits)
ON CONFLICT (kind) DO UPDATE SET limits = excluded.limits, unsorted = 1 WHERE laned_kinds.limits <> excluded.limits;

-- name: put_own_limit
INSERT INTO limits (name, declared, own_concurrency, own_rate, own_window_ms)
VALUES (:name, 0, :own_concurrency, :own_rate, :own_window_ms)
ON CONFLICT (name) DO UPDATE SET
  own_concurrency = CASE WHEN :sets_concurrency THEN excluded.own_concurrency ELSE limits.own_concurrency END,
  own_rate = CASE WHEN :sets_rate THEN excluded.own_rate ELSE limits.own_rate END,
  own_window_ms = CASE WHEN :sets_rate THEN excluded.own_window_ms ELSE limits.own_window_ms END;

-- name: drop_limits
DELETE FROM limits WHERE declared = 0 AND own_concurrency IS NULL AND own_rate IS NULL;

-- name: limits
SELECT name, concurrency, rate, window_ms, own_concurrency, own_rate, own_window_ms, max_running, max_starts, in_ms
FROM limits WHERE name > :after AND (declared = 1 OR substr(name, 1, 6) = 'queue:') ORDER BY name LIMIT :limit;

-- name: limit
SELECT name, concurrency, rate, window_ms, own_concurrency, own_rate, own_window_ms, max_running, max_starts, in_ms
FROM limits WHERE name = :name AND (declared = 1 OR substr(name, 1, 6) = 'queue:');

-- name: use_of_limit
SELECT coalesce(sum(u.running), 0),
  coalesce(sum((SELECT count(*) FROM gate_starts s WHERE s.gate = u.gate AND s.up > :since)), 0),
  count(*) FILTER (WHERE EXISTS (SELECT 1 FROM lanes l INDEXED BY lanes_parked WHERE l.parked = u.gate AND l.ready > 0)),
  coalesce(sum((SELECT sum(l.ready) FROM lanes l INDEXED BY lanes_parked WHERE l.parked = u.gate AND l.ready > 0)), 0)
FROM (SELECT gate, running FROM gates INDEXED BY gates_by_name WHERE name = :name LIMIT :most) u;

-- name: pause_queue
INSERT INTO queues (queue, paused) VALUES (:queue, :paused) ON CONFLICT (queue) DO UPDATE SET paused = excluded.paused;

-- name: make_queue
INSERT INTO queues (queue) VALUES (:queue) ON CONFLICT DO NOTHING;

-- name: known_queue
SELECT EXISTS (SELECT 1 FROM counters WHERE queue = :queue) OR EXISTS (SELECT 1 FROM queues WHERE queue = :queue)
  OR EXISTS (SELECT 1 FROM limits WHERE name = 'queue:' || :queue);

-- From name to name: a walk would read a row for each kind and status of a queue. No name has a ~.
-- name: queue_names
WITH RECURSIVE n (name) AS (
  SELECT :after
  UNION ALL
  SELECT min(coalesce((SELECT min(c.queue) FROM counters c WHERE c.queue > n.name), '~'),
    coalesce((SELECT min(q.queue) FROM queues q WHERE q.queue > n.name), '~'),
    coalesce((SELECT substr(min(m.name), 7) FROM limits m WHERE m.name > 'queue:' || n.name AND m.name < 'queue:~'), '~'))
  FROM n WHERE n.name < '~' LIMIT :limit + 1)
SELECT name FROM n WHERE name > :after AND name < '~';

-- Lanes that are parked on the gate of the queue itself are held back by its limit, which is looked at apart.
-- name: queue_figures
SELECT i.value, coalesce(q.paused, 0),
  (SELECT coalesce(sum(c.n), 0) FROM counters c WHERE c.queue = i.value AND c.status = 'pending' AND c.ready = 1),
  (SELECT coalesce(sum(c.n), 0) FROM counters c WHERE c.queue = i.value AND c.status = 'pending' AND c.ready = 0),
  (SELECT coalesce(sum(c.n), 0) FROM counters c WHERE c.queue = i.value AND c.status = 'processing'),
  (SELECT coalesce(sum(l.ready), 0) FROM lanes l INDEXED BY lanes_parked_by_queue
    WHERE l.queue = i.value AND l.parked IS NOT NULL AND l.ready > 0 AND l.parked <> 'queue:' || i.value),
  m.max_running, m.max_starts, m.in_ms,
  (SELECT count(*) FROM gate_starts s WHERE s.gate = 'queue:' || i.value AND s.up > :up - m.in_ms)
FROM json_each(:queues) i LEFT JOIN queues q ON q.queue = i.value LEFT JOIN limits m ON m.name = 'queue:' || i.value;

-- As `oldest`, for the tasks in lanes.
-- name: oldest_in_lanes
WITH RECURSIVE heads (queue, lane, priority) AS (
  SELECT s.queue, l.lane, (SELECT max(t.priority) FROM tasks t INDEXED BY tasks_lane
    WHERE t.status = 'pending' AND t.ready = 1 AND t.crashes < 2 AND t.lane = l.lane)
  FROM json_each(:queues) i CROSS JOIN shares s ON s.queue = i.value CROSS JOIN lanes l ON l.share = s.share AND l.ready > 0
  UNION ALL
  SELECT h.queue, h.lane, (SELECT max(t.priority) FROM tasks t INDEXED BY tasks_lane
    WHERE t.status = 'pending' AND t.ready = 1 AND t.crashes < 2 AND t.lane = h.lane AND t.priority < h.priority)
  FROM heads h WHERE h.priority IS NOT NULL LIMIT :limit)
SELECT h.queue, (SELECT min(t.run_at) FROM tasks t INDEXED BY tasks_lane
  WHERE t.status = 'pending' AND t.ready = 1 AND t.crashes < 2 AND t.lane = h.lane AND t.priority = h.priority)
FROM heads h WHERE h.priority IS NOT NULL;

-- name: pause_kind
INSERT INTO laned_kinds (kind, limits, paused) VALUES (:kind, '[]', 1)
ON CONFLICT (kind) DO UPDATE SET paused = 1, unsorted = 1;

-- name: resume_kind
UPDATE laned_kinds SET paused = 0 WHERE kind = :kind;

-- name: drop_resumed_kind
DELETE FROM laned_kinds WHERE kind = :kind AND limits = '[]' AND paused = 0;

-- name: resume_lanes
UPDATE lanes SET parked = NULL WHERE lane IN (SELECT lane FROM lanes INDEXED BY lanes_parked
  WHERE parked = :gate AND ready > 0 LIMIT :limit)
RETURNING queue;

-- name: paused
SELECT (SELECT json_group_array(queue) FROM queues WHERE paused = 1),
  (SELECT json_group_array(kind) FROM laned_kinds WHERE paused = 1);

-- name: paused_kinds
SELECT kind FROM laned_kinds WHERE paused = 1;

-- Tasks that are due and that limits hold back, paused queues, paused kinds. Under the limit of a queue are also tasks
-- that are in no lane.
-- name: held_figures
SELECT (SELECT coalesce(sum(l.ready), 0) FROM lanes l INDEXED BY lanes_parked
    WHERE l.parked IS NOT NULL AND l.ready > 0 AND substr(l.parked, 1, 6) NOT IN ('queue:', 'pause:'))
  + (SELECT coalesce(sum(max(0, (SELECT coalesce(sum(c.n), 0) FROM counters c
        WHERE c.queue = substr(m.name, 7) AND c.status = 'pending' AND c.ready = 1)
      - (SELECT coalesce(sum(l.ready), 0) FROM lanes l INDEXED BY lanes_parked_by_queue
        WHERE l.queue = substr(m.name, 7) AND l.parked IS NOT NULL AND l.ready > 0 AND l.parked <> m.name))), 0)
    FROM limits m LEFT JOIN gates g ON g.gate = m.name LEFT JOIN queues q ON q.queue = substr(m.name, 7)
    WHERE m.name > 'queue:' AND m.name < 'queue:~' AND coalesce(q.paused, 0) = 0
      AND (g.opens IS NOT NULL OR m.max_running <= (SELECT coalesce(sum(c.n), 0) FROM counters c
        WHERE c.queue = substr(m.name, 7) AND c.status = 'processing'))),
  (SELECT count(*) FROM queues WHERE paused = 1), (SELECT count(*) FROM laned_kinds WHERE paused = 1);

-- --- upkeep

-- name: unsorted_kind
SELECT kind FROM laned_kinds WHERE unsorted = 1 LIMIT 1;

-- name: walk_kind
SELECT max(seq), count(*) FROM (SELECT seq FROM tasks INDEXED BY tasks_by_kind WHERE kind = :kind AND seq > :after
  ORDER BY seq LIMIT :limit);

-- name: unsort_kind
UPDATE tasks SET lane = 0 WHERE seq IN (SELECT seq FROM tasks INDEXED BY tasks_by_kind
  WHERE kind = :kind AND seq > :after AND seq <= :until AND lane IS NULL AND completed_at IS NULL);

-- name: sorted_kind
UPDATE laned_kinds SET unsorted = 0 WHERE kind = :kind;

-- name: prunable
SELECT EXISTS (SELECT 1 FROM lanes INDEXED BY lanes_empty WHERE live = 0)
  OR EXISTS (SELECT 1 FROM gates INDEXED BY gates_unused WHERE lanes = 0);

-- name: prune_lanes
DELETE FROM lanes WHERE lane IN (SELECT l.lane FROM lanes l INDEXED BY lanes_empty WHERE l.live = 0
  AND NOT EXISTS (SELECT 1 FROM lanes r INDEXED BY lanes_by_main WHERE r.main = l.lane) LIMIT :limit)
RETURNING lane;

-- From gate to gate: there may be many whose starts still count.
-- name: unused_gates
SELECT gate FROM gates INDEXED BY gates_unused WHERE lanes = 0 AND gate > :after ORDER BY gate LIMIT :limit;

-- The gate of a queue is kept while the queue has a limit: a change of that is noted at the gate.
-- name: prune_gates
DELETE FROM gates WHERE gate IN (SELECT u.gate
  FROM json_each(:gates) i CROSS JOIN gates u ON u.gate = i.value LEFT JOIN limits m ON m.name = u.name
  WHERE u.lanes = 0 AND u.running = 0
    AND NOT (substr(u.name, 1, 6) = 'queue:' AND (m.name IS NOT NULL OR u.dirty = 1 OR u.opens IS NOT NULL))
    AND NOT EXISTS (SELECT 1 FROM gate_starts s WHERE s.gate = u.gate AND s.n = u.started - 1
      AND s.up > :up - coalesce(m.in_ms, m.window_ms, 0)))
RETURNING gate;
