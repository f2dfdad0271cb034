-- What a step of the wall clock does to delayed tasks. `run_at - delay_ms` is when a task was planned: after a step back
-- that can be a moment that is still to come (2000: less is no step, see core/settled.py).

-- While the clock is in doubt: what was planned by the time that it shows, and has waited as long as it was to.
-- name: stage_doubtful
UPDATE tasks SET ready = 1
WHERE seq IN (SELECT seq FROM tasks INDEXED BY tasks_planned
  WHERE status = 'pending' AND ready = 0 AND waiting_for IS NULL AND delay_ms IS NOT NULL
    AND run_at - delay_ms > :settled AND run_at <= :now LIMIT :limit)
RETURNING queue, crashes;

-- name: misplanned
SELECT 1 FROM tasks INDEXED BY tasks_planned
WHERE status = 'pending' AND ready = 0 AND waiting_for IS NULL AND delay_ms IS NOT NULL
  AND run_at - delay_ms > :now + 2000 LIMIT 1;

-- name: replan
UPDATE tasks SET run_at = :now + delay_ms
WHERE seq IN (SELECT seq FROM tasks INDEXED BY tasks_planned
  WHERE status = 'pending' AND ready = 0 AND waiting_for IS NULL AND delay_ms IS NOT NULL
    AND run_at - delay_ms > :now + 2000 LIMIT :limit)
RETURNING id;
