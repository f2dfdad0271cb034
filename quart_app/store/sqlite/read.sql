-- Reads tasks for display.

-- name: task_columns
t.seq, t.id, t.kind, t.queue, t.owner, t.status, t.cause, t.priority, t.run_at, t.attempt, t.max_attempts, t.crashes,
  t.version + coalesce(p.version, 0) + coalesce(f.version, 0), t.created_at, t.started_at, t.completed_at,
  t.cancel_requested_at,
  CASE WHEN t.status = 'pending' AND t.ready = 1 THEN {held_by}
    WHEN t.cause = 'suspend' AND t.status = 'pending' THEN coalesce(t.waiting_for, 'time')
    ELSE t.waiting_for END,
  t.tags, (SELECT q.id FROM tasks q WHERE q.seq = t.parent), f.total, f.ended, f.failed, t.forked_from, t.unique_key,
  t.code_version;

-- What holds back a task that is due: `paused`, `limit:<name>`, or NULL. Of lanes that are parked on the gate of their
-- queue the limit of the queue itself tells.
-- name: held_by
CASE
  WHEN EXISTS (SELECT 1 FROM queues q WHERE q.queue = t.queue AND q.paused = 1)
    OR EXISTS (SELECT 1 FROM laned_kinds k WHERE k.kind = t.kind AND k.paused = 1) THEN 'paused'
  ELSE coalesce(
    (SELECT 'limit:' || CASE WHEN instr(l.parked, '/') THEN substr(l.parked, 1, instr(l.parked, '/') - 1) ELSE l.parked END
      FROM lanes l WHERE l.lane = t.lane AND substr(l.parked, 1, 6) NOT IN ('queue:', 'pause:')),
    (SELECT 'limit:' || m.name FROM limits m LEFT JOIN gates g ON g.gate = m.name WHERE m.name = 'queue:' || t.queue
      AND (g.opens IS NOT NULL OR m.max_running <= (SELECT coalesce(sum(c.n), 0) FROM counters c
        WHERE c.queue = t.queue AND c.status = 'processing'))))
  END;

-- name: task_joins
LEFT JOIN progress p ON p.task = t.seq LEFT JOIN families f ON f.parent = t.seq
LEFT JOIN errors e ON (t.status = 'failed' OR t.status <> 'completed' AND t.attempt + t.crashes > 0) AND e.task = t.seq
  AND e.fence = (SELECT max(x.fence) FROM errors x WHERE x.task = t.seq);

-- name: get
SELECT {task_columns}, coalesce(t.args, a.args), coalesce(t.result, r.result), p.done, p.total, p.message,
  e.type, e.message, e.attempt, e.retryable
FROM json_each(:ids) i CROSS JOIN tasks t ON t.id = i.value
LEFT JOIN args a ON a.task = t.seq LEFT JOIN results r ON r.task = t.seq
{task_joins};

-- name: find
SELECT {task_columns}, NULL, NULL, p.done, p.total, p.message, e.type, e.message, e.attempt, e.retryable
FROM {source} {task_joins}
WHERE {conditions} ORDER BY {order} DESC LIMIT :limit;

-- name: find_documents
SELECT {task_columns}, coalesce(t.args, a.args), coalesce(t.result, r.result), p.done, p.total, p.message,
  e.type, e.message, e.attempt, e.retryable
FROM {source} LEFT JOIN args a ON a.task = t.seq LEFT JOIN results r ON r.task = t.seq {task_joins}
WHERE {conditions} ORDER BY {order} DESC LIMIT :limit;

-- name: source_tasks
tasks t;

-- name: source_tagged
tags g CROSS JOIN tasks t ON t.seq = g.task AND g.tag = :tag;

-- name: source_failed
failures f CROSS JOIN tasks t ON t.seq = f.task AND f.fingerprint = :error;

-- name: source_children
tasks m CROSS JOIN children c ON m.id = :parent AND c.parent = m.seq CROSS JOIN tasks t ON t.seq = c.task;

-- The newest of the tasks that something holds back. The sort is over their numbers alone: what is shown of a task is
-- looked up for those of the page.
-- name: source_held
(SELECT t.seq AS held FROM ({held}) h CROSS JOIN tasks t ON t.seq = h.held WHERE {held_conditions}
  ORDER BY t.seq DESC LIMIT :limit) n CROSS JOIN tasks t ON t.seq = n.held;

-- name: held_by_limit
SELECT k.seq AS held
FROM gates g INDEXED BY gates_by_name CROSS JOIN lanes l INDEXED BY lanes_parked
    ON l.parked = g.gate AND l.parked IS NOT NULL AND l.ready > 0
  CROSS JOIN tasks k INDEXED BY tasks_lane ON k.lane = l.lane AND k.status = 'pending' AND k.ready = 1 AND k.crashes < 2
WHERE g.name = :held_name AND NOT EXISTS (SELECT 1 FROM queues q WHERE q.queue = l.queue AND q.paused = 1)
  AND NOT EXISTS (SELECT 1 FROM laned_kinds d WHERE d.kind = l.kind AND d.paused = 1);

-- name: held_by_queue
SELECT k.seq AS held FROM tasks k INDEXED BY tasks_ready
WHERE k.queue = :held_name AND k.status = 'pending' AND k.ready = 1 AND k.crashes < 2 AND k.lane IS NULL
  AND {when_queue_closed} AND NOT EXISTS (SELECT 1 FROM laned_kinds d WHERE d.kind = k.kind AND d.paused = 1)
UNION ALL
SELECT k.seq FROM shares s CROSS JOIN lanes l ON l.share = s.share AND l.ready > 0
  CROSS JOIN tasks k INDEXED BY tasks_lane ON k.lane = l.lane AND k.status = 'pending' AND k.ready = 1 AND k.crashes < 2
WHERE s.queue = :held_name AND {when_queue_closed}
  AND (l.parked IS NULL OR substr(l.parked, 1, 6) IN ('queue:', 'pause:'))
  AND NOT EXISTS (SELECT 1 FROM laned_kinds d WHERE d.kind = l.kind AND d.paused = 1);

-- name: when_queue_closed
EXISTS (SELECT 1 FROM limits m LEFT JOIN gates g ON g.gate = m.name WHERE m.name = 'queue:' || :held_name
  AND NOT EXISTS (SELECT 1 FROM queues q WHERE q.queue = :held_name AND q.paused = 1)
  AND (g.opens IS NOT NULL OR m.max_running <= (SELECT coalesce(sum(c.n), 0) FROM counters c
    WHERE c.queue = :held_name AND c.status = 'processing')));

-- Tasks of a paused kind that are in no lane yet are in none of these; they get there within seconds.
-- name: held_by_pause
SELECT k.seq AS held FROM queues q CROSS JOIN tasks k INDEXED BY tasks_ready
  ON k.queue = q.queue AND k.status = 'pending' AND k.ready = 1 AND k.crashes < 2 AND k.lane IS NULL
WHERE q.paused = 1
UNION ALL
SELECT k.seq FROM lanes l CROSS JOIN tasks k INDEXED BY tasks_lane
  ON k.lane = l.lane AND k.status = 'pending' AND k.ready = 1 AND k.crashes < 2
WHERE l.ready > 0 AND (EXISTS (SELECT 1 FROM queues q WHERE q.queue = l.queue AND q.paused = 1)
  OR EXISTS (SELECT 1 FROM laned_kinds d WHERE d.kind = l.kind AND d.paused = 1));

-- name: when_parent
t.parent = (SELECT m.seq FROM tasks m WHERE m.id = :parent);

-- name: when_child_before_seq
c.task < :before_seq;

-- name: when_error
EXISTS (SELECT 1 FROM failures f WHERE f.task = t.seq AND f.fingerprint = :error);

-- name: when_failed_before_seq
f.task < :before_seq;

-- name: when_waiting_for
t.waiting_for = :waiting_for;

-- name: when_held
t.status = 'pending' AND t.ready = 1 AND {held_by} = :waiting_for;

-- name: when_asleep
t.status = 'pending' AND t.ready = 0 AND t.waiting_for IS NULL AND t.cause = 'suspend';

-- name: when_unique_key
t.unique_key = :unique_key;

-- name: when_code_version
t.code_version = :code_version;

-- The indexes on owner and queue leave out the common value; the extra condition lets the planner use them.
-- name: when_owner
t.owner = :owner AND t.owner <> '';

-- name: when_no_owner
t.owner = '';

-- name: when_status
t.status = :status;

-- name: when_kind
t.kind = :kind;

-- name: when_queue
t.queue = :queue AND t.queue <> 'default';

-- name: when_default_queue
t.queue = 'default';

-- name: when_before_seq
t.seq < :before_seq;

-- name: when_tagged_before_seq
g.task < :before_seq;

-- Ids begin with their time. So the index of ids finds a task well outside the range (see STEP_MS in listing.py: the
-- clock may have stepped), which bounds the walk. The exact test is on created_at.
-- name: when_created_after
t.created_at > :created_after
  AND t.seq > coalesce((SELECT b.seq FROM tasks b WHERE b.id < :created_after_id ORDER BY b.id DESC LIMIT 1), 0);

-- name: when_created_before
t.created_at < :created_before
  AND t.seq < coalesce((SELECT b.seq FROM tasks b WHERE b.id >= :created_before_id ORDER BY b.id LIMIT 1),
    9223372036854775807);

-- Sorts the names and reads the outputs one by one, so that the reader can stop early. The LIMIT keeps the planner from
-- sorting the outputs as well.
-- name: steps
SELECT s.name, s.type, s.output, s.attempt, s.at
FROM (SELECT n.task, n.name FROM tasks t CROSS JOIN steps n ON n.task = t.seq
  WHERE t.id = :id ORDER BY n.ordinal LIMIT -1) o
CROSS JOIN steps s ON s.task = o.task AND s.name = o.name;

-- name: step_names
SELECT s.name, s.type, s.size, CASE WHEN s.size <= :most THEN s.output END
FROM tasks t CROSS JOIN steps s ON s.task = t.seq AND s.name > :after
WHERE t.id = :id ORDER BY s.name LIMIT :limit;

-- name: step_output
SELECT s.output FROM tasks t CROSS JOIN steps s ON s.task = t.seq AND s.name = :name WHERE t.id = :id;

-- name: count_events
SELECT count(*) FROM tasks t CROSS JOIN events e ON e.task = t.seq WHERE t.id = :id;

-- name: errors
SELECT e.fence, e.attempt, e.at, e.type, e.message, e.retryable, e.traceback
FROM tasks t CROSS JOIN errors e ON e.task = t.seq WHERE t.id = :id ORDER BY e.fence LIMIT :limit;

-- name: events
SELECT e.seq, t.id, e.at, e.name, e.status, e.cause, e.attempt, e.data
FROM tasks t CROSS JOIN events e ON e.task = t.seq AND e.seq > :after
WHERE t.id = :id ORDER BY e.seq LIMIT :limit;
