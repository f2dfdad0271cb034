-- Durable flow: tasks that sleep, have children, wait for signals, emit output, and go back to a step.

-- `type` says what was recorded: step, sleep (the time of the wake-up), child (a task's id), children (ids), gather
-- (outcomes), wait (the time limit of a wait for a signal that has not come), signal (its data), timeout (it did not
-- come). The output stays last: SQLite finds what stands behind a long text only by reading the text.
ALTER TABLE steps RENAME TO steps_before;
CREATE TABLE steps (
  task    INTEGER NOT NULL,
  name    TEXT NOT NULL,
  type    TEXT NOT NULL CHECK (type IN ('step', 'sleep', 'child', 'children', 'gather', 'wait', 'signal', 'timeout')),
  attempt INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  size    INTEGER NOT NULL,
  output  TEXT NOT NULL,
  PRIMARY KEY (task, name)
) STRICT, WITHOUT ROWID;
INSERT INTO steps SELECT task, name, 'step', attempt, at, ordinal, size, output FROM steps_before;
DROP TABLE steps_before;
CREATE INDEX steps_waiting ON steps (task) WHERE type = 'wait';

-- The tree of tasks. `parent` is the number of the parent, a root has depth 1. Retention spares a task that is `held`:
-- its parent has not ended, or is held itself.
ALTER TABLE tasks ADD COLUMN parent INTEGER;
ALTER TABLE tasks ADD COLUMN depth INTEGER NOT NULL DEFAULT 1;
ALTER TABLE tasks ADD COLUMN held INTEGER NOT NULL DEFAULT 0 CHECK (held IN (0, 1));
-- The id of the task of which this one is a fork; and the version of the code that ran its last attempt.
ALTER TABLE tasks ADD COLUMN forked_from TEXT;
ALTER TABLE tasks ADD COLUMN code_version TEXT;
CREATE INDEX tasks_by_code_version ON tasks (code_version, seq) WHERE code_version IS NOT NULL;

-- One row for each child. `awaited`: its parent waits for its end.
CREATE TABLE children (
  parent   INTEGER NOT NULL,
  task     INTEGER NOT NULL,
  detached INTEGER NOT NULL CHECK (detached IN (0, 1)),
  awaited  INTEGER NOT NULL DEFAULT 0 CHECK (awaited IN (0, 1)),
  PRIMARY KEY (parent, task)
) STRICT, WITHOUT ROWID;

-- One row for each task that has children: how many, and for how many of them it waits.
CREATE TABLE families (
  parent  INTEGER PRIMARY KEY,
  version INTEGER NOT NULL DEFAULT 1,
  total   INTEGER NOT NULL DEFAULT 1,
  ended   INTEGER NOT NULL DEFAULT 0 CHECK (ended BETWEEN 0 AND total),
  failed  INTEGER NOT NULL DEFAULT 0 CHECK (failed BETWEEN 0 AND ended),
  waits   INTEGER NOT NULL DEFAULT 0 CHECK (waits BETWEEN 0 AND total)
) STRICT;

-- Parents whose end their children have not felt yet. `cancel`: those that have not ended are to be cancelled.
CREATE TABLE ended_parents (
  task   INTEGER PRIMARY KEY,
  cancel INTEGER NOT NULL CHECK (cancel IN (0, 1))
) STRICT;

-- Signals that no wait has taken. One with an idempotency key (`dedupe`) stays when it is taken: `step` names the wait.
CREATE TABLE signals (
  seq    INTEGER PRIMARY KEY AUTOINCREMENT,
  task   INTEGER NOT NULL,
  name   TEXT NOT NULL,
  at     INTEGER NOT NULL,
  step   TEXT,
  dedupe TEXT,
  data   TEXT NOT NULL
) STRICT;
CREATE INDEX signals_open ON signals (task, name, seq) WHERE step IS NULL;
CREATE INDEX signals_by_task ON signals (task);
CREATE UNIQUE INDEX signals_taken ON signals (task, step) WHERE step IS NOT NULL;
CREATE UNIQUE INDEX signals_dedupe ON signals (task, dedupe) WHERE dedupe IS NOT NULL;

-- What sleeps. (A delayed task, or one between two attempts, has another cause.)
CREATE INDEX tasks_asleep ON tasks (seq)
  WHERE status = 'pending' AND ready = 0 AND waiting_for IS NULL AND cause = 'suspend';
-- What waits for a signal, the oldest first; and its time limits, which are in delay_ms and run_at.
CREATE INDEX tasks_signalled ON tasks (changed_at, seq) WHERE substr(waiting_for, 1, 7) = 'signal:';
CREATE INDEX tasks_limited ON tasks (run_at)
  WHERE status = 'pending' AND substr(waiting_for, 1, 7) = 'signal:' AND delay_ms IS NOT NULL;
CREATE INDEX tasks_limited_planned ON tasks (run_at - delay_ms)
  WHERE status = 'pending' AND substr(waiting_for, 1, 7) = 'signal:' AND delay_ms IS NOT NULL;

DROP INDEX tasks_ended;
CREATE INDEX tasks_ended ON tasks (completed_at) WHERE completed_at IS NOT NULL AND retention_ms IS NULL AND held = 0;
DROP INDEX tasks_kept;
CREATE INDEX tasks_kept ON tasks (completed_at + retention_ms)
  WHERE retention_ms IS NOT NULL AND completed_at IS NOT NULL AND held = 0;

CREATE TRIGGER children_made AFTER INSERT ON children BEGIN
  INSERT INTO families (parent) VALUES (NEW.parent)
    ON CONFLICT (parent) DO UPDATE SET total = total + 1, version = version + 1;
END;

-- In this order, in one trigger: the order of two triggers of one event is undefined.
CREATE TRIGGER tasks_child_ended AFTER UPDATE OF status ON tasks
WHEN NEW.parent IS NOT NULL AND OLD.completed_at IS NULL AND NEW.completed_at IS NOT NULL BEGIN
  UPDATE families SET version = version + 1, ended = ended + 1, failed = failed + (NEW.status = 'failed'),
      waits = waits - (SELECT awaited FROM children WHERE parent = NEW.parent AND task = NEW.seq)
    WHERE parent = NEW.parent;
  UPDATE children SET awaited = 0 WHERE parent = NEW.parent AND task = NEW.seq AND awaited = 1;
  UPDATE tasks SET waiting_for = NULL, ready = 1
    WHERE seq = NEW.parent AND status = 'pending' AND waiting_for = 'children'
      AND (SELECT waits FROM families WHERE parent = NEW.parent) = 0;
END;

CREATE TRIGGER tasks_child_reran AFTER UPDATE OF status ON tasks
WHEN NEW.parent IS NOT NULL AND OLD.completed_at IS NOT NULL AND NEW.completed_at IS NULL BEGIN
  UPDATE families SET version = version + 1, ended = ended - 1, failed = failed - (OLD.status = 'failed')
    WHERE parent = NEW.parent;
END;

CREATE TRIGGER tasks_parent_ended AFTER UPDATE OF status ON tasks
WHEN OLD.completed_at IS NULL AND NEW.completed_at IS NOT NULL
  AND EXISTS (SELECT 1 FROM families WHERE parent = NEW.seq) BEGIN
  INSERT INTO ended_parents (task, cancel) VALUES (NEW.seq, NEW.status <> 'completed')
    ON CONFLICT (task) DO UPDATE SET cancel = excluded.cancel;
END;

-- It goes on with those of its children that were not cancelled yet; they are held again.
CREATE TRIGGER tasks_parent_reran AFTER UPDATE OF status ON tasks
WHEN OLD.completed_at IS NOT NULL AND NEW.completed_at IS NULL
  AND EXISTS (SELECT 1 FROM families WHERE parent = NEW.seq) BEGIN
  DELETE FROM ended_parents WHERE task = NEW.seq;
  UPDATE tasks SET held = 1 WHERE held = 0 AND seq IN (SELECT task FROM children WHERE parent = NEW.seq);
END;

CREATE TRIGGER tasks_released AFTER UPDATE OF held ON tasks
WHEN NEW.held = 0 AND OLD.held = 1 AND NEW.completed_at IS NOT NULL
  AND EXISTS (SELECT 1 FROM families WHERE parent = NEW.seq) BEGIN
  INSERT INTO ended_parents (task, cancel) VALUES (NEW.seq, 0) ON CONFLICT (task) DO NOTHING;
END;

-- A child that is deleted leaves its place in the counts of a parent that is still there.
CREATE TRIGGER tasks_child_deleted AFTER DELETE ON tasks WHEN OLD.parent IS NOT NULL BEGIN
  DELETE FROM children WHERE parent = OLD.parent AND task = OLD.seq;
  UPDATE families SET version = version + 1, total = total - 1, ended = ended - 1, failed = failed - (OLD.status = 'failed')
    WHERE parent = OLD.parent;
END;

-- Where a fork came from, and with which version of the code an attempt ran, stand in the history. Both are of characters that JSON takes as
-- they are; a function for it would not be allowed in a trigger.
DROP TRIGGER tasks_enqueued;
CREATE TRIGGER tasks_enqueued AFTER INSERT ON tasks BEGIN
  INSERT INTO events (task, at, name, status, cause, attempt, data)
    VALUES (NEW.seq, NEW.changed_at, 'status', NEW.status, NEW.cause, NEW.attempt,
      '{"forked_from":"' || NEW.forked_from || '"}');
  INSERT INTO counters (queue, kind, status, ready, n) VALUES (NEW.queue, NEW.kind, NEW.status, NEW.ready, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;

DROP TRIGGER tasks_changed;
CREATE TRIGGER tasks_changed AFTER UPDATE OF status ON tasks BEGIN
  INSERT INTO events (task, at, name, status, cause, attempt, data)
    VALUES (NEW.seq, NEW.changed_at, 'status', NEW.status, NEW.cause, NEW.attempt,
      CASE NEW.cause WHEN 'claim' THEN '{"code_version":"' || NEW.code_version || '"}' END);
  UPDATE counters SET n = n - 1
    WHERE queue = OLD.queue AND kind = OLD.kind AND status = OLD.status AND ready = OLD.ready;
  INSERT INTO counters (queue, kind, status, ready, n) VALUES (NEW.queue, NEW.kind, NEW.status, NEW.ready, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;

-- Events may be of the name `output`. Copying the table would take minutes; this changes what is allowed, not what is
-- there (https://sqlite.org/lang_altertable.html, "Making Other Kinds Of Table Schema Changes").
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, '''step'')', '''step'', ''output'')') WHERE type = 'table' AND name = 'events';
PRAGMA writable_schema = RESET;

-- A pending task may be moved to another queue. When it becomes ready as well, or no longer is, tasks_staged counts it.
CREATE TRIGGER tasks_moved AFTER UPDATE OF queue ON tasks
WHEN NEW.queue <> OLD.queue AND NEW.status = OLD.status AND NEW.ready = OLD.ready BEGIN
  UPDATE counters SET n = n - 1
    WHERE queue = OLD.queue AND kind = OLD.kind AND status = OLD.status AND ready = OLD.ready;
  INSERT INTO counters (queue, kind, status, ready, n) VALUES (NEW.queue, NEW.kind, NEW.status, NEW.ready, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;
