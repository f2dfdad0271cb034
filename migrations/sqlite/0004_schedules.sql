-- Schedules, and the fires they have made. A fire is on record before its task can be seen: its row, its task and the
-- schedule's next time are one transaction.

CREATE TABLE schedules (
  name         TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 64),
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
CREATE INDEX schedules_due ON schedules (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX schedules_by_owner ON schedules (owner);

-- The key decides: a fire that is here was made, and is never made again. No foreign key: a schedule that is deleted
-- and made anew under its name must not repeat what the old one did.
CREATE TABLE fires (
  schedule TEXT NOT NULL,
  fire_at  INTEGER NOT NULL,
  task_id  TEXT NOT NULL,
  PRIMARY KEY (schedule, fire_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX fires_by_time ON fires (fire_at);

-- What stats-update found last, as one JSON document.
CREATE TABLE statistics (
  id       INTEGER PRIMARY KEY CHECK (id = 1),
  at       INTEGER NOT NULL,
  document TEXT NOT NULL
) STRICT;
