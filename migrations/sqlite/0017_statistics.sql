-- Figures over time, by kind and by queue. They are counted from the events, which are read once, in their order.

-- `width` and `start` are ms. Each bucket is there by kind and by queue, of the same totals. `waited` and `ran` are the
-- histograms, from which the percentiles beside them are computed (core/statistics.py); they stand last: SQLite finds
-- what stands behind a long text only by reading the text.
CREATE TABLE stats (
  width      INTEGER NOT NULL CHECK (width IN (300000, 3600000, 86400000)),
  start      INTEGER NOT NULL CHECK (start % width = 0),
  dimension  TEXT NOT NULL CHECK (dimension IN ('kind', 'queue')),
  name       TEXT NOT NULL,
  started    INTEGER NOT NULL CHECK (started >= 0),
  completed  INTEGER NOT NULL CHECK (completed >= 0),
  failed     INTEGER NOT NULL CHECK (failed >= 0),
  cancelled  INTEGER NOT NULL CHECK (cancelled >= 0),
  waited_p50 INTEGER,
  waited_p95 INTEGER,
  ran_p50    INTEGER,
  ran_p95    INTEGER,
  waited     TEXT NOT NULL,
  ran        TEXT NOT NULL,
  PRIMARY KEY (width, start, dimension, name)
) STRICT, WITHOUT ROWID;

-- The number of the last event that is counted, and the time up to which all are.
CREATE TABLE stats_mark (
  id  INTEGER PRIMARY KEY CHECK (id = 1),
  seq INTEGER NOT NULL CHECK (seq >= 0),
  at  INTEGER NOT NULL
) STRICT;
INSERT INTO stats_mark (id, seq, at) VALUES (1, 0, 0);

-- Deleted tasks with events that are not counted yet: those events stay until they are. `last`: the last one.
CREATE TABLE stats_gone (
  task         INTEGER PRIMARY KEY,
  kind         TEXT NOT NULL,
  queue        TEXT NOT NULL,
  status       TEXT NOT NULL,
  run_at       INTEGER NOT NULL,
  started_at   INTEGER,
  completed_at INTEGER,
  last         INTEGER NOT NULL
) STRICT;
CREATE INDEX stats_gone_counted ON stats_gone (last);

CREATE TRIGGER tasks_deleted_stats AFTER DELETE ON tasks
WHEN EXISTS (SELECT 1 FROM events WHERE task = OLD.seq AND seq > (SELECT seq FROM stats_mark)) BEGIN
  INSERT INTO stats_gone (task, kind, queue, status, run_at, started_at, completed_at, last)
    VALUES (OLD.seq, OLD.kind, OLD.queue, OLD.status, OLD.run_at, OLD.started_at, OLD.completed_at,
      (SELECT max(seq) FROM events WHERE task = OLD.seq));
END;
