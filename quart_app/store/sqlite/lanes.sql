-- Lanes and gates: which pending tasks are held back by limits, and whose turn it is. store/claim_procedure.py runs most of these.

-- --- putting tasks into lanes

-- name: sort
SELECT 1 FROM tasks INDEXED BY tasks_unsorted WHERE lane = 0 LIMIT 1;

-- name: unsorted
SELECT t.seq, t.queue, t.owner, t.kind, t.completed_at IS NULL,
  CASE WHEN k.limits LIKE '%,"%' THEN coalesce(t.args, (SELECT a.args FROM args a WHERE a.task = t.seq)) END,
  k.limits, k.paused, q.sole
FROM tasks t INDEXED BY tasks_unsorted LEFT JOIN laned_kinds k ON k.kind = t.kind LEFT JOIN queues q ON q.queue = t.queue
WHERE t.lane = 0 ORDER BY t.seq LIMIT :limit;

-- name: unended_in_queue
SELECT coalesce(sum(n), 0) FROM counters WHERE queue = :queue AND status IN ('pending', 'processing');

-- name: put_queue
INSERT INTO queues (queue, sole) VALUES (:queue, :sole) ON CONFLICT (queue) DO UPDATE SET sole = excluded.sole;

-- name: put_share
INSERT INTO shares (queue, owner) VALUES (:queue, :owner) ON CONFLICT DO UPDATE SET turn = turn RETURNING share, turn;

-- name: find_lane
SELECT lane FROM lanes WHERE share = :share AND kind = :kind AND gates = :gates AND limits = :limits AND resumed = 0;

-- name: put_lane
INSERT INTO lanes (queue, share, kind, limits, gates, turn)
VALUES (:queue, :share, :kind, :limits, :gates, :turn) RETURNING lane;

-- name: put_lane_gate
INSERT INTO lane_gates (lane, place, gate) VALUES (:lane, :place, :gate);

-- name: put_gate
INSERT INTO gates (gate, name) VALUES (:gate, :name) ON CONFLICT DO NOTHING;

-- name: put_in_lane
UPDATE tasks SET lane = :lane WHERE seq IN (SELECT value FROM json_each(:seqs));

-- --- one claim

-- name: to_be_done
SELECT EXISTS (SELECT 1 FROM tasks INDEXED BY tasks_unsorted WHERE lane = 0),
  EXISTS (SELECT 1 FROM gates INDEXED BY gates_dirty WHERE dirty = 1)
    OR EXISTS (SELECT 1 FROM gates INDEXED BY gates_opening WHERE opens IS NOT NULL AND opens <= :up);

-- What there is to know of a queue. When nothing is limited and one owner has it, the statement `claim_plain` does all.
-- name: queue_state
SELECT coalesce(q.paused, 0), EXISTS (SELECT 1 FROM shares s INDEXED BY shares_open WHERE s.queue = :queue AND s.open > 0),
  EXISTS (SELECT 1 FROM lanes p INDEXED BY lanes_parked_by_queue
    WHERE p.queue = :queue AND p.parked IS NOT NULL AND p.ready > 0),
  EXISTS (SELECT 1 FROM laned_kinds WHERE unsorted = 1), l.name IS NOT NULL,
  (SELECT t.priority FROM tasks t INDEXED BY tasks_ready
    WHERE t.status = 'pending' AND t.ready = 1 AND t.crashes < 2 AND t.lane IS NULL AND t.queue = :queue
    ORDER BY t.priority DESC LIMIT 1),
  (SELECT t.priority FROM tasks t INDEXED BY tasks_ready
    WHERE t.status = 'pending' AND t.ready = 1 AND t.crashes < 2 AND t.lane IS NULL AND t.queue = :queue
    ORDER BY t.priority LIMIT 1),
  coalesce(q.vtime, 0), coalesce(q.sole, '')
FROM (SELECT 1) LEFT JOIN queues q ON q.queue = :queue LEFT JOIN limits l ON l.name = 'queue:' || :queue;

-- name: running_in_queue
SELECT coalesce(sum(n), 0) FROM counters WHERE queue = :queue AND status = 'processing';

-- name: open_shares
SELECT share, vtime, running, owner FROM shares INDEXED BY shares_open
WHERE queue = :queue AND open > 0 ORDER BY vtime, share LIMIT :limit;

-- name: running_in_shares
SELECT coalesce(sum(running), 0) FROM shares WHERE queue = :queue;

-- name: open_lanes
SELECT l.lane, k.limits IS NOT NULL AND k.limits <> l.limits OR k.limits IS NULL AND l.limits <> '[]', coalesce(k.paused, 0),
  l.kind, l.resumed
FROM lanes l INDEXED BY lanes_open LEFT JOIN laned_kinds k ON k.kind = l.kind
WHERE l.share = :share AND l.ready > 0 AND l.parked IS NULL ORDER BY l.turn, l.lane LIMIT :limit;

-- name: gates_of_lanes
SELECT lg.lane, u.gate, m.max_running - u.running, m.max_starts, m.in_ms, u.started
FROM json_each(:lanes) i CROSS JOIN lane_gates lg ON lg.lane = i.value CROSS JOIN gates u ON u.gate = lg.gate
  LEFT JOIN limits m ON m.name = u.name;

-- name: gate
SELECT g.gate, m.max_running - g.running, m.max_starts, m.in_ms, g.started
FROM gates g LEFT JOIN limits m ON m.name = g.name WHERE g.gate = :gate;

-- The dates of the starts that must be over, one for each start that is asked for.
-- name: gate_starts
SELECT n, up FROM gate_starts WHERE gate = :gate AND n >= :low ORDER BY n LIMIT :limit;

-- The first task of each of these lanes, and the lowest priority in it.
-- name: first_heads
SELECT i.value, t.seq, t.priority, t.run_at, t.kind, (SELECT b.priority FROM tasks b INDEXED BY tasks_lane
    WHERE b.lane = i.value AND b.status = 'pending' AND b.ready = 1 AND b.crashes < 2 ORDER BY b.priority LIMIT 1)
FROM json_each(:lanes) i CROSS JOIN tasks t ON t.seq = (SELECT h.seq FROM tasks h INDEXED BY tasks_lane
  WHERE h.lane = i.value AND h.status = 'pending' AND h.ready = 1 AND h.crashes < 2
    AND (h.expires_at IS NULL OR h.expires_at > :now)
  ORDER BY h.priority DESC, h.run_at, h.seq LIMIT 1);

-- name: lane_heads
SELECT seq, priority, run_at, kind FROM tasks INDEXED BY tasks_lane
WHERE lane = :lane AND status = 'pending' AND ready = 1 AND crashes < 2 AND (expires_at IS NULL OR expires_at > :now)
ORDER BY priority DESC, run_at, seq LIMIT :limit;

-- name: lane_seqs
SELECT seq FROM tasks INDEXED BY tasks_lane
WHERE lane = :lane AND status = 'pending' AND ready = 1 AND crashes < 2 LIMIT :limit;

-- name: plain_heads
SELECT seq, priority, run_at, kind FROM tasks INDEXED BY tasks_ready
WHERE lane IS NULL AND queue = :queue AND status = 'pending' AND ready = 1 AND crashes < 2
  AND (expires_at IS NULL OR expires_at > :now)
ORDER BY priority DESC, run_at, seq LIMIT :limit;

-- The heads of a lower priority, for the place that goes to the task that is due for longest.
-- name: lane_heads_below
SELECT seq, priority, run_at, kind FROM tasks INDEXED BY tasks_lane
WHERE lane = :lane AND status = 'pending' AND ready = 1 AND crashes < 2 AND priority < :priority
  AND (expires_at IS NULL OR expires_at > :now)
ORDER BY priority DESC, run_at, seq LIMIT 1;

-- name: plain_heads_below
SELECT seq, priority, run_at, kind FROM tasks INDEXED BY tasks_ready
WHERE lane IS NULL AND queue = :queue AND status = 'pending' AND ready = 1 AND crashes < 2 AND priority < :priority
  AND (expires_at IS NULL OR expires_at > :now)
ORDER BY priority DESC, run_at, seq LIMIT 1;

-- name: laned
SELECT 1 FROM laned_kinds WHERE kind = :kind AND (limits <> '[]' OR paused = 1);

-- name: unsort
UPDATE tasks SET lane = 0 WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: park
UPDATE lanes SET parked = :gate, parked_at = :up WHERE lane = :lane;

-- name: open_gate_at
UPDATE gates SET opens = :at WHERE gate = :gate;

-- name: put_starts
INSERT INTO gate_starts (gate, n, up, wall)
SELECT :gate, g.started + i.value, :up, :now FROM gates g CROSS JOIN json_each(:places) i WHERE g.gate = :gate;

-- name: count_starts
UPDATE gates SET started = started + :count WHERE gate = :gate;

-- name: drop_starts
DELETE FROM gate_starts WHERE gate = :gate AND n < (SELECT started FROM gates WHERE gate = :gate) - :rate;

-- name: advance_share
UPDATE shares SET vtime = :vtime, turn = turn + 1 WHERE share = :share;

-- name: advance_queue
INSERT INTO queues (queue, vtime) VALUES (:queue, :vtime) ON CONFLICT (queue) DO UPDATE SET vtime = excluded.vtime;

-- name: turn_lanes
UPDATE lanes SET turn = (SELECT s.turn FROM shares s WHERE s.share = lanes.share)
WHERE lane IN (SELECT value FROM json_each(:lanes));

-- name: lanes_let_in
SELECT l.lane FROM shares s INDEXED BY shares_open CROSS JOIN lanes l INDEXED BY lanes_open
WHERE s.queue = :queue AND s.open > 0 AND l.share = s.share AND l.ready > 0 AND l.parked IS NULL AND l.gates <> '[]'
LIMIT :limit;

-- --- gates that have room again

-- name: dirty_gates
SELECT gate FROM gates INDEXED BY gates_dirty WHERE dirty = 1
UNION ALL SELECT gate FROM gates INDEXED BY gates_opening WHERE opens IS NOT NULL AND opens <= :up
LIMIT :limit;

-- name: clean_gate
UPDATE gates SET dirty = 0, opens = NULL WHERE gate = :gate;

-- name: unpark
UPDATE lanes SET parked = NULL WHERE lane IN (
  SELECT lane FROM lanes INDEXED BY lanes_parked WHERE parked = :gate AND ready > 0 ORDER BY parked_at, lane LIMIT :limit)
RETURNING queue;

-- name: unpark_resumed
UPDATE lanes SET parked = NULL WHERE lane IN (SELECT lane FROM lanes INDEXED BY lanes_parked_resumed
  WHERE parked = :gate AND ready > 0 AND resumed = 1 ORDER BY parked_at, lane LIMIT :limit)
RETURNING queue;

-- name: resumed_parked_on
SELECT 1 FROM lanes INDEXED BY lanes_parked_resumed WHERE parked = :gate AND ready > 0 AND resumed = 1 LIMIT 1;

-- name: parked_on
SELECT 1 FROM lanes INDEXED BY lanes_parked WHERE parked = :gate AND ready > 0 LIMIT 1;

-- name: dirty_gate
UPDATE gates SET dirty = 1 WHERE gate = :gate;

-- name: held_back
SELECT 1 FROM lanes INDEXED BY lanes_parked_by_queue WHERE queue = :queue AND parked IS NOT NULL AND ready > 0 LIMIT 1;

-- name: next_opening
SELECT min(opens) FROM gates INDEXED BY gates_opening WHERE opens IS NOT NULL;

-- --- suspects

-- name: suspect_heads
SELECT t.seq, t.queue, t.lane, l.resumed
FROM tasks t INDEXED BY tasks_suspects LEFT JOIN lanes l ON l.lane = t.lane LEFT JOIN queues q ON q.queue = t.queue
  LEFT JOIN laned_kinds k ON k.kind = t.kind
WHERE t.status = 'pending' AND t.ready = 1 AND t.crashes >= 2 AND t.crashes BETWEEN :least AND :most
  AND coalesce(q.paused, 0) = 0 AND coalesce(k.paused, 0) = 0
ORDER BY t.lived_ms, t.run_at, t.seq LIMIT :limit;
