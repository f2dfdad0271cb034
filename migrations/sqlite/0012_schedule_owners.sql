-- A schedule's name is its owner's: two owners may have the same one, and neither learns of the other's. `key` is what
-- fires and uploads refer to: the name, behind the owner and a slash where there is an owner.

DROP TRIGGER schedules_made;
DROP TRIGGER schedules_changed;
DROP TRIGGER schedules_gone;

CREATE TABLE schedules_with_keys (
  key          TEXT PRIMARY KEY CHECK (key = CASE owner WHEN '' THEN name ELSE owner || '/' || name END),
  name         TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
  owner        TEXT NOT NULL,
  source       TEXT NOT NULL CHECK (source IN ('code', 'api')),
  kind         TEXT NOT NULL,
  args         TEXT NOT NULL,
  cron         TEXT,
  every_ms     INTEGER CHECK (every_ms >= 1000),
  timezone     TEXT NOT NULL,
  overlap      TEXT NOT NULL CHECK (overlap IN ('skip', 'queue', 'cancel')),
  catch_up     TEXT NOT NULL CHECK (catch_up IN ('skip', 'one', 'all')),
  paused       INTEGER NOT NULL CHECK (paused IN (0, 1)),
  revision     INTEGER NOT NULL,
  created_at   INTEGER NOT NULL,
  next_at      INTEGER CHECK (paused = 0 OR next_at IS NULL),
  last_fire_at INTEGER,
  last_task_id TEXT,
  last_error   TEXT,
  CHECK ((cron IS NULL) <> (every_ms IS NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO schedules_with_keys
  SELECT CASE owner WHEN '' THEN name ELSE owner || '/' || name END, name, owner, source, kind, args, cron, every_ms,
    timezone, overlap, catch_up, paused, revision, created_at, next_at, last_fire_at, last_task_id, last_error
  FROM schedules;
UPDATE fires SET schedule = plan.owner || '/' || plan.name
  FROM schedules plan WHERE plan.name = fires.schedule AND plan.owner <> '';
UPDATE schedule_uploads SET schedule = plan.owner || '/' || plan.name
  FROM schedules plan WHERE plan.name = schedule_uploads.schedule AND plan.owner <> '';
DROP TABLE schedules;
ALTER TABLE schedules_with_keys RENAME TO schedules;
CREATE INDEX schedules_due ON schedules (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX schedules_by_owner ON schedules (owner);
CREATE INDEX schedules_by_name ON schedules (name);

CREATE TRIGGER schedules_made AFTER INSERT ON schedules BEGIN
  INSERT INTO schedule_uploads (upload, owner, schedule)
    SELECT DISTINCT named.value, NEW.owner, NEW.key FROM json_tree(NEW.args) named
    WHERE named.type = 'text' AND length(named.value) = 32;
END;

CREATE TRIGGER schedules_changed AFTER UPDATE OF args ON schedules BEGIN
  DELETE FROM schedule_uploads WHERE schedule = NEW.key;
  INSERT INTO schedule_uploads (upload, owner, schedule)
    SELECT DISTINCT named.value, NEW.owner, NEW.key FROM json_tree(NEW.args) named
    WHERE named.type = 'text' AND length(named.value) = 32;
END;

CREATE TRIGGER schedules_gone AFTER DELETE ON schedules BEGIN
  DELETE FROM schedule_uploads WHERE schedule = OLD.key;
END;
