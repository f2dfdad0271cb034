-- Corrects delayed tasks after a step of the wall clock. `run_at - delay_ms` is when a task was planned: after a step
-- back that time can be in the future (2000: a smaller difference is no step, see core/trusted_time.py).

-- While the clock is in doubt: tasks that were planned by the new time, and whose delay has passed.
-- name: make_ready_doubtful
UPDATE tasks SET ready = 1
WHERE seq IN (SELECT seq FROM tasks INDEXED BY tasks_planned
  WHERE status = 'pending' AND ready = 0 AND waiting_for IS NULL AND delay_ms IS NOT NULL
    AND run_at - delay_ms > :settled AND run_at <= :now LIMIT :limit)
RETURNING queue, crashes;

-- name: misplanned
SELECT 1 WHERE EXISTS (SELECT 1 FROM tasks INDEXED BY tasks_planned
  WHERE status = 'pending' AND ready = 0 AND waiting_for IS NULL AND delay_ms IS NOT NULL
    AND run_at - delay_ms > :now + 2000)
OR EXISTS (SELECT 1 FROM tasks INDEXED BY tasks_limited_planned
  WHERE status = 'pending' AND substr(waiting_for, 1, 7) = 'signal:' AND delay_ms IS NOT NULL
    AND run_at - delay_ms > :now + 2000);

-- name: replan
UPDATE tasks SET run_at = :now + delay_ms
WHERE seq IN (SELECT seq FROM tasks INDEXED BY tasks_planned
  WHERE status = 'pending' AND ready = 0 AND waiting_for IS NULL AND delay_ms IS NOT NULL
    AND run_at - delay_ms > :now + 2000 LIMIT :limit)
RETURNING id;

-- Time limits of waits for a signal.
-- name: replan_limits
UPDATE tasks SET run_at = :now + delay_ms
WHERE seq IN (SELECT seq FROM tasks INDEXED BY tasks_limited_planned
  WHERE status = 'pending' AND substr(waiting_for, 1, 7) = 'signal:' AND delay_ms IS NOT NULL
    AND run_at - delay_ms > :now + 2000 LIMIT :limit)
RETURNING id;

-- What the tasks replanned above have recorded of their wake-up: a run that finds it asks whether it is over.
-- name: replan_records
UPDATE steps SET output = CAST(t.run_at AS TEXT)
FROM (SELECT seq, run_at FROM tasks INDEXED BY tasks_planned
    WHERE status = 'pending' AND ready = 0 AND waiting_for IS NULL AND delay_ms IS NOT NULL AND run_at - delay_ms = :now
  UNION ALL SELECT seq, run_at FROM tasks INDEXED BY tasks_limited_planned
    WHERE status = 'pending' AND substr(waiting_for, 1, 7) = 'signal:' AND delay_ms IS NOT NULL
      AND run_at - delay_ms = :now) t
WHERE steps.task = t.seq AND steps.type IN ('sleep', 'wait') AND CAST(steps.output AS INTEGER) > t.run_at;
