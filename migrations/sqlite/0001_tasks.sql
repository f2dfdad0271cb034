-- The heart: one row a task, and rows of their own for everything that is large or grows.
-- `tasks` holds small columns only: SQLite rewrites a whole row when one column of it changes. Args and results of
-- up to 256 characters count as small (a row of their own costs a statement more in each transaction, measured: 8 %
-- of all tasks a second); longer ones are NULL here and live in `args` and `results`.
-- Times are integer milliseconds UTC; order goes by `seq`, never by a clock.

CREATE TABLE tasks (
  seq                 INTEGER PRIMARY KEY AUTOINCREMENT,
  id                  TEXT NOT NULL UNIQUE,
  kind                TEXT NOT NULL,
  queue               TEXT NOT NULL,
  owner               TEXT NOT NULL,
  status              TEXT NOT NULL CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'cancelled')),
  cause               TEXT NOT NULL,
  ready               INTEGER NOT NULL CHECK (ready IN (0, 1)),
  priority            INTEGER NOT NULL CHECK (priority BETWEEN -100 AND 100),
  run_at              INTEGER NOT NULL,
  attempt             INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
  max_attempts        INTEGER NOT NULL CHECK (max_attempts >= 1),
  crashes             INTEGER NOT NULL DEFAULT 0 CHECK (crashes >= 0),
  fence               INTEGER NOT NULL DEFAULT 0,
  version             INTEGER NOT NULL DEFAULT 1,
  created_at          INTEGER NOT NULL,
  changed_at          INTEGER NOT NULL,
  started_at          INTEGER,
  completed_at        INTEGER CHECK ((completed_at IS NOT NULL) = (status IN ('completed', 'failed', 'cancelled'))),
  expires_at          INTEGER,
  timeout_ms          INTEGER NOT NULL CHECK (timeout_ms > 0),
  retention_ms        INTEGER,
  cancel_requested_at INTEGER,
  waiting_for         TEXT,
  worker              TEXT CHECK ((worker IS NOT NULL) = (status = 'processing')),
  tags                TEXT,
  traceparent         TEXT,
  args                TEXT CHECK (length(args) <= 256),
  result              TEXT CHECK (length(result) <= 256),
  CHECK (ready = 0 OR status = 'pending')
) STRICT;

-- What may be claimed now, in the order in which it is claimed.
CREATE INDEX tasks_ready ON tasks (queue, priority DESC, run_at, seq) WHERE status = 'pending' AND ready = 1 AND crashes < 2;
CREATE INDEX tasks_suspects ON tasks (run_at, seq) WHERE status = 'pending' AND ready = 1 AND crashes >= 2;
-- What waits for its time, and what waits for something else than time.
CREATE INDEX tasks_delayed ON tasks (run_at) WHERE status = 'pending' AND ready = 0 AND waiting_for IS NULL;
CREATE INDEX tasks_waiting ON tasks (waiting_for) WHERE waiting_for IS NOT NULL;
CREATE INDEX tasks_expiring ON tasks (expires_at) WHERE expires_at IS NOT NULL AND status = 'pending';
CREATE INDEX tasks_processing ON tasks (worker, seq) WHERE status = 'processing';
-- Retention, and the filters of the listing (newest first).
CREATE INDEX tasks_ended ON tasks (completed_at) WHERE completed_at IS NOT NULL AND retention_ms IS NULL;
CREATE INDEX tasks_kept ON tasks (completed_at + retention_ms) WHERE retention_ms IS NOT NULL AND completed_at IS NOT NULL;
CREATE INDEX tasks_by_status ON tasks (status, seq);
CREATE INDEX tasks_by_kind ON tasks (kind, seq);
CREATE INDEX tasks_by_queue ON tasks (queue, seq) WHERE queue <> 'default';
CREATE INDEX tasks_by_owner ON tasks (owner, seq) WHERE owner <> '';

CREATE TABLE args (
  task INTEGER PRIMARY KEY,
  args TEXT NOT NULL
) STRICT;

CREATE TABLE results (
  task   INTEGER PRIMARY KEY,
  result TEXT NOT NULL
) STRICT;

CREATE TABLE progress (
  task    INTEGER PRIMARY KEY,
  version INTEGER NOT NULL,
  done    REAL,
  total   REAL,
  message TEXT
) STRICT;

CREATE TABLE steps (
  task    INTEGER NOT NULL,
  name    TEXT NOT NULL,
  output  TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  PRIMARY KEY (task, name)
) STRICT, WITHOUT ROWID;

-- One row for each run that ended in an error; `fence` tells the runs of a task apart.
CREATE TABLE errors (
  task      INTEGER NOT NULL,
  fence     INTEGER NOT NULL,
  attempt   INTEGER NOT NULL,
  at        INTEGER NOT NULL,
  type      TEXT NOT NULL,
  message   TEXT NOT NULL,
  retryable INTEGER NOT NULL CHECK (retryable IN (0, 1)),
  traceback TEXT,
  PRIMARY KEY (task, fence)
) STRICT, WITHOUT ROWID;

CREATE TABLE tags (
  tag  TEXT NOT NULL,
  task INTEGER NOT NULL,
  PRIMARY KEY (tag, task)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_by_task ON tags (task);

-- Never reused numbers (AUTOINCREMENT): a reader's Last-Event-ID stays true after old events are pruned.
CREATE TABLE events (
  seq     INTEGER PRIMARY KEY AUTOINCREMENT,
  task    INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  name    TEXT NOT NULL CHECK (name IN ('status', 'progress', 'log', 'step')),
  status  TEXT NOT NULL,
  cause   TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  data    TEXT
) STRICT;
CREATE INDEX events_by_task ON events (task, seq);

-- Outlives its task: a key that was used stays used until it expires.
CREATE TABLE idempotency_keys (
  owner       TEXT NOT NULL,
  key         TEXT NOT NULL,
  task_id     TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  expires_at  INTEGER NOT NULL,
  PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_expiring ON idempotency_keys (expires_at);

-- Counting a million rows takes a third of a second; these few rows always hold the answer.
CREATE TABLE counters (
  queue  TEXT NOT NULL,
  kind   TEXT NOT NULL,
  status TEXT NOT NULL,
  ready  INTEGER NOT NULL,
  n      INTEGER NOT NULL CHECK (n >= 0),
  PRIMARY KEY (queue, kind, status, ready)
) STRICT, WITHOUT ROWID;

-- Written to find out whether the disk takes writes again.
CREATE TABLE probe (n INTEGER NOT NULL) STRICT;
INSERT INTO probe VALUES (0);

CREATE TRIGGER tasks_enqueued AFTER INSERT ON tasks BEGIN
  INSERT INTO events (task, at, name, status, cause, attempt)
    VALUES (NEW.seq, NEW.changed_at, 'status', NEW.status, NEW.cause, NEW.attempt);
  INSERT INTO counters (queue, kind, status, ready, n) VALUES (NEW.queue, NEW.kind, NEW.status, NEW.ready, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;

-- The transition table of core/lifecycle.py, as a second line of defence behind the guards of the statements.
CREATE TRIGGER tasks_legal BEFORE UPDATE OF status ON tasks
WHEN NOT (
     (OLD.status = 'processing' AND NEW.status = 'completed' AND NEW.cause = 'complete')
  OR (OLD.status = 'pending' AND NEW.status = 'processing' AND NEW.cause = 'claim')
  OR (OLD.status = 'processing' AND NEW.status = 'pending' AND NEW.cause IN ('retry', 'suspend', 'release', 'crash'))
  OR (OLD.status = 'processing' AND NEW.status = 'failed' AND NEW.cause IN ('fail', 'crash'))
  OR (OLD.status = 'processing' AND NEW.status = 'processing' AND NEW.cause = 'cancel_requested')
  OR (OLD.status IN ('pending', 'processing') AND NEW.status = 'cancelled' AND NEW.cause = 'cancel')
  OR (OLD.status = 'pending' AND NEW.status = 'failed' AND NEW.cause = 'expire')
  OR (OLD.status IN ('failed', 'cancelled') AND NEW.status = 'pending' AND NEW.cause = 'rerun')
) BEGIN
  SELECT RAISE(ABORT, 'illegal transition');
END;

CREATE TRIGGER tasks_changed AFTER UPDATE OF status ON tasks BEGIN
  INSERT INTO events (task, at, name, status, cause, attempt)
    VALUES (NEW.seq, NEW.changed_at, 'status', NEW.status, NEW.cause, NEW.attempt);
  UPDATE counters SET n = n - 1
    WHERE queue = OLD.queue AND kind = OLD.kind AND status = OLD.status AND ready = OLD.ready;
  INSERT INTO counters (queue, kind, status, ready, n) VALUES (NEW.queue, NEW.kind, NEW.status, NEW.ready, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;

-- Staging (a delayed task's time has come) changes `ready` alone and is no event.
CREATE TRIGGER tasks_staged AFTER UPDATE OF ready ON tasks WHEN NEW.status = OLD.status AND NEW.ready <> OLD.ready BEGIN
  UPDATE counters SET n = n - 1
    WHERE queue = OLD.queue AND kind = OLD.kind AND status = OLD.status AND ready = OLD.ready;
  INSERT INTO counters (queue, kind, status, ready, n) VALUES (NEW.queue, NEW.kind, NEW.status, NEW.ready, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;

-- Everything of a task goes with it. No foreign keys: each would cost a look-up on the hot path, and children
-- are only ever inserted by statements that select their task.
CREATE TRIGGER tasks_deleted AFTER DELETE ON tasks BEGIN
  DELETE FROM args WHERE task = OLD.seq;
  DELETE FROM results WHERE task = OLD.seq;
  DELETE FROM progress WHERE task = OLD.seq;
  DELETE FROM steps WHERE task = OLD.seq;
  DELETE FROM errors WHERE task = OLD.seq;
  DELETE FROM tags WHERE task = OLD.seq;
  DELETE FROM events WHERE task = OLD.seq;
  UPDATE counters SET n = n - 1
    WHERE queue = OLD.queue AND kind = OLD.kind AND status = OLD.status AND ready = OLD.ready;
END;
