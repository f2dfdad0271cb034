-- What is known of a task that ran when its process died.

-- How long it had run then, in ms: the longest of its crashes since it last made headway.
ALTER TABLE tasks ADD COLUMN lived_ms INTEGER NOT NULL DEFAULT 0 CHECK (lived_ms >= 0);

-- Of the suspects the one that died soonest after its start is the likeliest cause, so it is tried first.
DROP INDEX tasks_suspects;
CREATE INDEX tasks_suspects ON tasks (lived_ms, run_at, seq) WHERE status = 'pending' AND ready = 1 AND crashes >= 2;

-- Which tasks ran together when which worker died. A task that makes headway later did not cause it; the last one of a
-- group did.
CREATE TABLE crash_groups (
  task   INTEGER NOT NULL,
  worker TEXT NOT NULL,
  PRIMARY KEY (task, worker)
) STRICT, WITHOUT ROWID;
CREATE INDEX crash_groups_by_worker ON crash_groups (worker, task);

-- Nobody will learn whether a cancelled task was to blame: the others are not called so for want of it.
CREATE TRIGGER tasks_deleted_crash_groups AFTER DELETE ON tasks BEGIN
  DELETE FROM crash_groups WHERE OLD.crashes > 0 AND OLD.status = 'cancelled'
    AND worker IN (SELECT worker FROM crash_groups WHERE task = OLD.seq);
  DELETE FROM crash_groups WHERE task = OLD.seq;
END;
