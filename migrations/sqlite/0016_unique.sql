-- Unique tasks: of one owner, kind and key at most one has not ended; behind one that has run a second may wait.
ALTER TABLE tasks ADD COLUMN unique_key TEXT CHECK (length(unique_key) BETWEEN 1 AND 200);
CREATE INDEX tasks_by_unique_key ON tasks (unique_key, seq) WHERE unique_key IS NOT NULL;

-- One row for each key that a task holds which has not ended: `task_id`, the newest one, made at `first_at`. `ahead` has
-- run, and `task_id` waits for its end (waiting_for = 'unique_key').
CREATE TABLE unique_keys (
  owner    TEXT NOT NULL,
  kind     TEXT NOT NULL,
  key      TEXT NOT NULL,
  task_id  TEXT NOT NULL,
  ahead    TEXT CHECK (ahead <> task_id),
  first_at INTEGER NOT NULL,
  PRIMARY KEY (owner, kind, key)
) STRICT, WITHOUT ROWID;

-- In this order, in one trigger. The one behind may start, when its time has come; or it has ended itself, and the one
-- ahead has the key again.
CREATE TRIGGER tasks_unique_ended AFTER UPDATE OF status ON tasks
WHEN NEW.unique_key IS NOT NULL AND OLD.completed_at IS NULL AND NEW.completed_at IS NOT NULL BEGIN
  UPDATE tasks SET waiting_for = NULL, ready = run_at <= NEW.changed_at
    WHERE +status = 'pending' AND +waiting_for = 'unique_key' AND id = (SELECT task_id FROM unique_keys
      WHERE owner = NEW.owner AND kind = NEW.kind AND key = NEW.unique_key AND ahead = NEW.id);
  UPDATE unique_keys SET task_id = CASE task_id WHEN NEW.id THEN ahead ELSE task_id END, ahead = NULL
    WHERE owner = NEW.owner AND kind = NEW.kind AND key = NEW.unique_key AND ahead IS NOT NULL;
  DELETE FROM unique_keys
    WHERE owner = NEW.owner AND kind = NEW.kind AND key = NEW.unique_key AND task_id = NEW.id;
END;

-- A rerun takes the key again; its statement looks whether another task has it.
CREATE TRIGGER tasks_unique_reran AFTER UPDATE OF status ON tasks
WHEN NEW.unique_key IS NOT NULL AND OLD.completed_at IS NOT NULL AND NEW.completed_at IS NULL BEGIN
  INSERT INTO unique_keys (owner, kind, key, task_id, first_at)
    VALUES (NEW.owner, NEW.kind, NEW.unique_key, NEW.id, NEW.changed_at);
END;
