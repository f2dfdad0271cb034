-- What one task or one client has heaped up must not stop the others: it is read and deleted in bites.

-- The output stands last, and its bytes before it: SQLite finds what stands behind a long text only by reading the
-- text, and a run that goes on wants to know the names of its steps, not hundreds of megabytes.
DROP TRIGGER tasks_deleted;
ALTER TABLE steps RENAME TO steps_before;
CREATE TABLE steps (
  task    INTEGER NOT NULL,
  name    TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  size    INTEGER NOT NULL,
  output  TEXT NOT NULL,
  PRIMARY KEY (task, name)
) STRICT, WITHOUT ROWID;
INSERT INTO steps SELECT task, name, attempt, at, ordinal, length(CAST(output AS BLOB)), output FROM steps_before;
DROP TABLE steps_before;

-- The numbers of tasks that are deleted, of which rows of other tables are left. Nothing shows those: whoever reads
-- them comes from the task. Upkeep deletes them in bites, and the number after them.
CREATE TABLE deleted_tasks (task INTEGER PRIMARY KEY) STRICT;

CREATE TRIGGER tasks_deleted AFTER DELETE ON tasks BEGIN
  INSERT INTO deleted_tasks (task) VALUES (OLD.seq);
  UPDATE counters SET n = n - 1
    WHERE queue = OLD.queue AND kind = OLD.kind AND status = OLD.status AND ready = OLD.ready;
END;

-- What the args of a schedule name that may be an upload: it is kept for as long as the schedule.
CREATE TABLE schedule_uploads (
  upload   TEXT NOT NULL,
  owner    TEXT NOT NULL,
  schedule TEXT NOT NULL,
  PRIMARY KEY (upload, owner, schedule)
) STRICT, WITHOUT ROWID;
CREATE INDEX schedule_uploads_by_schedule ON schedule_uploads (schedule);
INSERT INTO schedule_uploads (upload, owner, schedule)
  SELECT DISTINCT named.value, plan.owner, plan.name FROM schedules plan, json_tree(plan.args) named
  WHERE named.type = 'text' AND length(named.value) = 32;

CREATE TRIGGER schedules_made AFTER INSERT ON schedules BEGIN
  INSERT INTO schedule_uploads (upload, owner, schedule)
    SELECT DISTINCT named.value, NEW.owner, NEW.name FROM json_tree(NEW.args) named
    WHERE named.type = 'text' AND length(named.value) = 32;
END;

CREATE TRIGGER schedules_changed AFTER UPDATE OF args ON schedules BEGIN
  DELETE FROM schedule_uploads WHERE schedule = NEW.name;
  INSERT INTO schedule_uploads (upload, owner, schedule)
    SELECT DISTINCT named.value, NEW.owner, NEW.name FROM json_tree(NEW.args) named
    WHERE named.type = 'text' AND length(named.value) = 32;
END;

CREATE TRIGGER schedules_gone AFTER DELETE ON schedules BEGIN
  DELETE FROM schedule_uploads WHERE schedule = OLD.name;
END;
