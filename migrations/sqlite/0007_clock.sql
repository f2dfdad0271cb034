-- What was asked for relative to the moment of planning: a retry, the pause after a crash, a delay. NULL for a date that
-- the caller gave. run_at - delay_ms is when it was planned: a moment that is still to come was in a future that the
-- clock has been set back from.
ALTER TABLE tasks ADD COLUMN delay_ms INTEGER;
UPDATE tasks SET delay_ms = max(run_at - changed_at, 0)
WHERE status = 'pending' AND ready = 0 AND waiting_for IS NULL AND cause IN ('retry', 'crash');
CREATE INDEX tasks_planned ON tasks (run_at - delay_ms)
  WHERE status = 'pending' AND ready = 0 AND waiting_for IS NULL AND delay_ms IS NOT NULL;
