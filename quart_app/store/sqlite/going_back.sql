-- Going back: a task forgets what it has recorded from a step on, or another one begins with what came before that step;
-- and a pending task is changed. What was recorded after a step has a higher ordinal; of two of one ordinal the later
-- one. Their Write has a check: nothing of it stays when the task was not there to be changed.

-- What a rerun forgets: all after `:step`, or everything (NULL). A fork has no children but its own: it forgets, too,
-- that it made those of its original, unless their results stay on record.
-- name: forgotten_steps
SELECT s.task, s.name, s.type, s.ordinal, s.at
FROM tasks t LEFT JOIN steps o ON o.task = t.seq AND o.name = :step CROSS JOIN steps s ON s.task = t.seq
WHERE t.id = :id AND (:step IS NULL OR (s.ordinal, s.at) >= (o.ordinal, o.at)
  OR t.forked_from IS NOT NULL AND o.name IS NOT NULL AND s.type IN ('child', 'children') AND EXISTS (
    SELECT 1 FROM json_each(s.output) i
    WHERE NOT EXISTS (SELECT 1 FROM tasks k WHERE k.id = i.value AND +k.parent = t.seq)
      AND i.value NOT IN (
        SELECT g.value->>'id' FROM steps r CROSS JOIN json_each(r.output) g
        WHERE r.task = (SELECT b.seq FROM tasks b WHERE b.id = :id) AND r.type = 'gather'
          AND (r.ordinal, r.at) < (SELECT b.ordinal, b.at FROM steps b
            WHERE b.task = (SELECT c.seq FROM tasks c WHERE c.id = :id) AND b.name = :step))));

-- name: forget_log
INSERT INTO events (task, at, name, status, cause, attempt, data)
SELECT t.seq, :now, 'log', t.status, t.cause, t.attempt, json_object(
  'message', 'forgotten from ' || coalesce('step ' || :step, 'the beginning'),
  'fields', json(CASE WHEN n.n > :most THEN json_object('steps', json(n.names), 'count', n.n)
    ELSE json_object('steps', json(n.names)) END))
FROM tasks t CROSS JOIN (
  SELECT count(*) n, json_group_array(name) FILTER (WHERE place <= :most) names
  FROM (SELECT name, row_number() OVER (ORDER BY ordinal, at) place FROM ({forgotten_steps}))) n
WHERE t.id = :id AND n.n > 0;

-- A taken signal that has an idempotency key stays, so that it is not sent again. Its wait is forgotten: it gets a name
-- that is too long for one.
-- name: retire_signals
UPDATE signals SET step = 'forgotten ' || seq || printf('%200s', '')
WHERE (task, step) IN (SELECT task, name FROM ({forgotten_steps})) AND step IS NOT NULL;

-- Its children that were made after the step and have not ended: those of everything are all.
-- name: cancel_forgotten
UPDATE tasks SET status = CASE status WHEN 'pending' THEN 'cancelled' ELSE 'processing' END,
  cause = CASE status WHEN 'pending' THEN 'cancel' ELSE 'cancel_requested' END, version = version + 1, ready = 0,
  waiting_for = NULL, cancel_requested_at = :now, changed_at = :now,
  completed_at = CASE status WHEN 'pending' THEN max(:now, created_at) END
WHERE seq IN (
    SELECT c.task FROM tasks t CROSS JOIN children c ON c.parent = t.seq WHERE t.id = :id AND :step IS NULL
    UNION ALL
    SELECT k.seq FROM ({forgotten_steps}) f
      CROSS JOIN steps s ON s.task = f.task AND s.name = f.name AND f.type IN ('child', 'children')
      CROSS JOIN json_each(s.output) i CROSS JOIN tasks k ON k.id = i.value AND +k.parent = f.task)
  AND (+status = 'pending' OR +status = 'processing' AND cancel_requested_at IS NULL)
RETURNING id, (SELECT p.queue FROM tasks p WHERE p.seq = tasks.parent),
  EXISTS (SELECT 1 FROM families f WHERE f.parent = tasks.seq), kind, status;

-- Stands after the others: they ask which steps there are.
-- name: forget_steps
DELETE FROM steps WHERE (task, name) IN (SELECT task, name FROM ({forgotten_steps}))
RETURNING name;

-- name: find_step
SELECT s.name FROM tasks t CROSS JOIN steps s ON s.task = t.seq AND s.name = :step WHERE t.id = :id;

-- name: fork
INSERT INTO tasks (id, kind, queue, owner, status, cause, ready, priority, run_at, max_attempts, created_at, changed_at,
  timeout_ms, retention_ms, tags, traceparent, args, forked_from)
SELECT :new, t.kind, t.queue, t.owner, 'pending', 'enqueue', 1, t.priority, :now, t.max_attempts, :now, :now, t.timeout_ms,
  t.retention_ms, t.tags, :traceparent, CASE WHEN :args IS NULL THEN t.args WHEN length(:args) <= 256 THEN :args END, t.id
FROM tasks t WHERE t.id = :id
RETURNING queue;

-- name: fork_args
INSERT INTO args (task, args)
SELECT n.seq, coalesce(:args, a.args) FROM tasks n CROSS JOIN tasks t ON t.id = n.forked_from
  LEFT JOIN args a ON a.task = t.seq
WHERE n.id = :new AND n.args IS NULL;

-- name: fork_tags
INSERT INTO tags (tag, task)
SELECT g.tag, n.seq FROM tasks n CROSS JOIN tasks t ON t.id = n.forked_from CROSS JOIN tags g ON g.task = t.seq
WHERE n.id = :new;

-- name: fork_uploads
INSERT INTO upload_uses (task, upload)
SELECT n.seq, u.upload FROM tasks n CROSS JOIN tasks t ON t.id = n.forked_from
  CROSS JOIN upload_uses u ON u.task = t.seq
WHERE n.id = :new;

-- Children belong to the task that made them. So that it made them is copied only with their results; else the fork
-- makes its own. A wait that is not over is asked for again.
-- name: fork_steps
INSERT INTO steps (task, name, type, attempt, at, ordinal, size, output)
SELECT n.seq, s.name, s.type, s.attempt, s.at, s.ordinal, s.size, s.output
FROM tasks n CROSS JOIN tasks t ON t.id = n.forked_from LEFT JOIN steps o ON o.task = t.seq AND o.name = :step
  CROSS JOIN steps s ON s.task = t.seq
WHERE n.id = :new AND s.type <> 'wait' AND (:step IS NULL OR (s.ordinal, s.at) < (o.ordinal, o.at))
  AND (s.type NOT IN ('child', 'children') OR NOT EXISTS (
    SELECT 1 FROM json_each(s.output) i WHERE i.value NOT IN (
      SELECT g.value->>'id' FROM steps r CROSS JOIN json_each(r.output) g
      WHERE r.task = (SELECT b.seq FROM tasks b WHERE b.id = :id) AND r.type = 'gather'
        AND (:step IS NULL OR (r.ordinal, r.at) < (SELECT b.ordinal, b.at FROM steps b
          WHERE b.task = (SELECT c.seq FROM tasks c WHERE c.id = :id) AND b.name = :step)))));

-- name: changeable
SELECT t.status, t.version + coalesce(p.version, 0) + coalesce(f.version, 0), t.waiting_for,
  EXISTS (SELECT 1 FROM steps s WHERE s.task = t.seq)
FROM tasks t LEFT JOIN progress p ON p.task = t.seq LEFT JOIN families f ON f.parent = t.seq WHERE t.id = :id;

-- A task that sleeps asks its record whether that is over.
-- name: change_sleep
UPDATE steps SET output = CAST(:run_at AS TEXT), size = length(CAST(:run_at AS TEXT))
WHERE type = 'sleep' AND task = (
    SELECT t.seq FROM tasks t WHERE t.id = :id AND +t.status = 'pending' AND +t.waiting_for IS NULL)
  AND CAST(output AS INTEGER) = (SELECT t.run_at FROM tasks t WHERE t.id = :id);

-- name: change
UPDATE tasks SET priority = coalesce(:priority, priority), queue = coalesce(:queue, queue),
  max_attempts = coalesce(:max_attempts, max_attempts), timeout_ms = coalesce(:timeout_ms, timeout_ms),
  run_at = coalesce(:run_at, run_at), delay_ms = CASE WHEN :run_at IS NULL THEN delay_ms END,
  ready = CASE WHEN :run_at IS NULL THEN ready ELSE :run_at <= :now END,
  tags = CASE WHEN :tags IS NULL THEN tags ELSE nullif(:tags, '[]') END,
  args = CASE WHEN :args IS NULL THEN args WHEN length(:args) <= 256 THEN :args END
WHERE id = :id AND +status = 'pending'
RETURNING queue, ready, run_at, crashes;

-- The version of a task counts its changes; that of its row counts transitions alone.
-- name: count_change
INSERT INTO progress (task, version) SELECT t.seq, 1 FROM tasks t WHERE t.id = :id
ON CONFLICT (task) DO UPDATE SET version = progress.version + 1;

-- name: change_log
INSERT INTO events (task, at, name, status, cause, attempt, data)
SELECT t.seq, :now, 'log', t.status, t.cause, t.attempt, :data FROM tasks t WHERE t.id = :id;

-- name: drop_args
DELETE FROM args WHERE task = (SELECT t.seq FROM tasks t WHERE t.id = :id);

-- name: change_args
INSERT INTO args (task, args) SELECT t.seq, :args FROM tasks t WHERE t.id = :id AND length(:args) > 256;

-- name: drop_tags
DELETE FROM tags WHERE task = (SELECT t.seq FROM tasks t WHERE t.id = :id);

-- name: change_tags
INSERT INTO tags (tag, task) SELECT g.value, t.seq FROM tasks t CROSS JOIN json_each(:tags) g WHERE t.id = :id;

-- Before those that are used no longer: a file that nobody uses goes.
-- name: add_uses
INSERT INTO upload_uses (task, upload)
SELECT t.seq, u.id FROM tasks t CROSS JOIN json_each(:uploads) i CROSS JOIN uploads u ON u.id = i.value AND u.owner = t.owner
WHERE t.id = :id ON CONFLICT DO NOTHING;

-- name: drop_uses
DELETE FROM upload_uses WHERE task = (SELECT t.seq FROM tasks t WHERE t.id = :id)
  AND upload NOT IN (SELECT value FROM json_each(:uploads));

-- name: uses
SELECT u.upload FROM tasks t CROSS JOIN upload_uses u ON u.task = t.seq WHERE t.id = :id;
