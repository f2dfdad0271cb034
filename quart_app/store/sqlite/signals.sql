-- Sleeping, and waiting for signals.

-- name: suspend_until
UPDATE tasks SET status = 'pending', cause = 'suspend', version = version + 1, worker = NULL, crashes = 0,
  attempt = attempt - 1, run_at = value->>'run_at', delay_ms = value->>'delay_ms', changed_at = value->>'at'
FROM json_each(:rows)
WHERE tasks.id = value->>'id' AND tasks.fence = value->>'fence' AND +tasks.status = 'processing'
RETURNING tasks.id;

-- Waits with a time limit have it in run_at and delay_ms.
-- name: suspend_for_signal
UPDATE tasks SET status = 'pending', cause = 'suspend', version = version + 1, worker = NULL, crashes = 0,
  attempt = attempt - 1, waiting_for = 'signal:' || (value->>'signal'), run_at = coalesce(value->>'run_at', run_at),
  delay_ms = value->>'delay_ms', changed_at = value->>'at'
FROM json_each(:rows)
WHERE tasks.id = value->>'id' AND tasks.fence = value->>'fence' AND +tasks.status = 'processing'
RETURNING tasks.id;

-- name: put_signal
INSERT INTO signals (task, name, at, dedupe, data)
SELECT t.seq, value->>'signal', value->>'at', value->>'dedupe', value->>'data'
FROM json_each(:rows) CROSS JOIN tasks t ON t.id = value->>'id' AND +t.completed_at IS NULL
WHERE (SELECT count(*) FROM signals o INDEXED BY signals_open WHERE o.task = t.seq AND o.step IS NULL) < value->>'most'
ON CONFLICT DO NOTHING
RETURNING (SELECT id FROM tasks WHERE seq = task);

-- The oldest signal of the name goes to the wait for it that stands: that of a suspended task, or the one (`step`) that a
-- run asks for. Waits for other names may be on record, for which a handler asks later, or no longer. A wait is named
-- signal:<signal>-<position>.
-- name: take_signal
UPDATE signals SET step = f.step
FROM (
  SELECT w.name AS step, (SELECT s.seq FROM signals s INDEXED BY signals_open
      WHERE s.task = t.seq AND s.name = value->>'signal' AND s.step IS NULL ORDER BY s.seq LIMIT 1) AS seq
  FROM json_each(:rows) CROSS JOIN tasks t ON t.id = value->>'id'
  CROSS JOIN steps w INDEXED BY steps_waiting ON w.task = t.seq AND w.type = 'wait'
  WHERE w.name = value->>'step' OR t.waiting_for = 'signal:' || (value->>'signal')
    AND rtrim(w.name, '0123456789') = t.waiting_for || '-') f
WHERE signals.seq = f.seq;

-- name: record_signal
UPDATE steps SET type = 'signal',
  (at, size, output) = (SELECT s.at, length(CAST(s.data AS BLOB)), s.data FROM signals s INDEXED BY signals_taken
    WHERE s.task = steps.task AND s.step = steps.name AND s.step IS NOT NULL)
WHERE +type = 'wait' AND (task, name) IN (
  SELECT s.task, s.step FROM json_each(:rows) CROSS JOIN tasks t ON t.id = value->>'id'
  CROSS JOIN signals s INDEXED BY signals_taken ON s.task = t.seq AND s.step IS NOT NULL);

-- name: drop_signal
DELETE FROM signals WHERE step IS NOT NULL AND dedupe IS NULL
  AND task IN (SELECT t.seq FROM json_each(:rows) CROSS JOIN tasks t ON t.id = value->>'id');

-- name: wake_signalled
UPDATE tasks SET waiting_for = NULL, ready = 1, delay_ms = NULL
FROM json_each(:rows)
WHERE tasks.id = value->>'id' AND tasks.waiting_for = 'signal:' || (value->>'signal') AND +tasks.status = 'pending'
  AND NOT EXISTS (SELECT 1 FROM steps w INDEXED BY steps_waiting
    WHERE w.task = tasks.seq AND w.type = 'wait' AND rtrim(w.name, '0123456789') = tasks.waiting_for || '-')
RETURNING tasks.id, tasks.queue;

-- Its time is over, and no signal could be taken. The output was that time.
-- name: time_out
UPDATE steps SET type = 'timeout', at = CAST(output AS INTEGER), size = 4, output = 'null'
WHERE +type = 'wait' AND (task, name) IN (
  SELECT t.seq, value->>'step' FROM json_each(:rows) CROSS JOIN tasks t
    ON t.id = value->>'id' AND t.fence = value->>'fence' AND +t.status = 'processing'
  WHERE value->>'over');

-- name: recorded
SELECT t.id, s.type, s.output FROM json_each(:rows) CROSS JOIN tasks t
  ON t.id = value->>'id' AND t.fence = value->>'fence' AND +t.status = 'processing'
CROSS JOIN steps s ON s.task = t.seq AND s.name = value->>'step';

-- name: has_signal
SELECT 1 FROM tasks t CROSS JOIN signals s INDEXED BY signals_open
  ON s.task = t.seq AND s.name = :signal AND s.step IS NULL
WHERE t.id = :id LIMIT 1;

-- What came of a signal: the task's end, the signal that had this key before, how many are open.
-- name: signal_state
SELECT t.id, t.completed_at IS NOT NULL, d.name, d.data FROM json_each(:rows) CROSS JOIN tasks t ON t.id = value->>'id'
LEFT JOIN signals d ON d.task = t.seq AND d.dedupe = value->>'dedupe';

-- name: waiting
SELECT t.seq, t.id, t.kind, substr(t.waiting_for, 8), t.changed_at, CASE WHEN t.delay_ms IS NOT NULL THEN t.run_at END
FROM tasks t INDEXED BY tasks_signalled
WHERE substr(t.waiting_for, 1, 7) = 'signal:' AND (t.changed_at, t.seq) > (:since, :seq)
  AND (:owner IS NULL OR t.owner = :owner)
ORDER BY t.changed_at, t.seq LIMIT :limit;
