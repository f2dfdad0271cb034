-- Limits of tasks, and fair turns of owners. A limit in use is a gate: `openai`, or `openai/"c42"` for one value of its
-- key. Pending tasks that share queue, owner, kind and gates are in one lane. A lane that meets a closed gate is parked:
-- no claim looks at its tasks, however many there are, until the gate has room. The lane of a task is
--   NULL  it has no limits, and the owner for whom its queue is kept simple
--   0     it is to be put into a lane: the next statement `sort` does that, in the same transaction
-- and otherwise a number in `lanes`.
ALTER TABLE tasks ADD COLUMN lane INTEGER;

-- `own_…`: what an operator has set, NULL for nothing, 0 for no limit. `declared`: the code has it. Times in ms.
CREATE TABLE limits (
  name            TEXT PRIMARY KEY,
  concurrency     INTEGER CHECK (concurrency > 0),
  rate            INTEGER CHECK (rate > 0),
  window_ms       INTEGER CHECK (window_ms > 0),
  declared        INTEGER NOT NULL CHECK (declared IN (0, 1)),
  own_concurrency INTEGER CHECK (own_concurrency >= 0),
  own_rate        INTEGER CHECK (own_rate >= 0),
  own_window_ms   INTEGER CHECK (own_window_ms > 0),
  max_running     INTEGER AS (nullif(coalesce(own_concurrency, concurrency), 0)),
  max_starts      INTEGER AS (nullif(coalesce(own_rate, rate), 0)),
  in_ms           INTEGER AS (CASE WHEN own_rate IS NULL THEN window_ms ELSE own_window_ms END)
) STRICT, WITHOUT ROWID;

-- `limits`: a JSON array of [name of the limit, arg whose value is its key or null]. `unsorted`: tasks of this kind may
-- be in lanes that do not fit it.
CREATE TABLE laned_kinds (
  kind     TEXT PRIMARY KEY,
  limits   TEXT NOT NULL,
  paused   INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
  unsorted INTEGER NOT NULL DEFAULT 1 CHECK (unsorted IN (0, 1))
) STRICT, WITHOUT ROWID;

-- `sole`: the owner whose tasks without limits are in no lane. `vtime`, as of a share: the turns that they had.
CREATE TABLE queues (
  queue  TEXT PRIMARY KEY,
  sole   TEXT NOT NULL DEFAULT '',
  vtime  INTEGER NOT NULL DEFAULT 0,
  paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1))
) STRICT, WITHOUT ROWID;

-- `lanes`: how many go through it; `dirty`: it may have room for one that is parked on it; `opens`: when a lane that is
-- parked on it may start, in ms since the boot, when that is a question of time.
CREATE TABLE gates (
  gate    TEXT PRIMARY KEY,
  name    TEXT NOT NULL,
  running INTEGER NOT NULL DEFAULT 0 CHECK (running >= 0),
  started INTEGER NOT NULL DEFAULT 0,
  lanes   INTEGER NOT NULL DEFAULT 0 CHECK (lanes >= 0),
  dirty   INTEGER NOT NULL DEFAULT 0 CHECK (dirty IN (0, 1)),
  opens   INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX gates_dirty ON gates (gate) WHERE dirty = 1;
CREATE INDEX gates_opening ON gates (opens) WHERE opens IS NOT NULL;
CREATE INDEX gates_by_name ON gates (name);
CREATE INDEX gates_unused ON gates (gate) WHERE lanes = 0;

-- The last starts under a gate with a rate, as many as it allows in its window. `up`: time since the boot.
CREATE TABLE gate_starts (
  gate TEXT NOT NULL,
  n    INTEGER NOT NULL,
  up   INTEGER NOT NULL,
  wall INTEGER NOT NULL,
  PRIMARY KEY (gate, n)
) STRICT, WITHOUT ROWID;

-- One owner in one queue. `open`: its lanes that have tasks to claim and are not parked. `vtime`: the turns it had; the
-- least one is next. Who comes back after a pause begins where the others are: idling earns no credit.
CREATE TABLE shares (
  share   INTEGER PRIMARY KEY,
  queue   TEXT NOT NULL,
  owner   TEXT NOT NULL,
  vtime   INTEGER NOT NULL DEFAULT 0,
  turn    INTEGER NOT NULL DEFAULT 0,
  open    INTEGER NOT NULL DEFAULT 0 CHECK (open >= 0),
  running INTEGER NOT NULL DEFAULT 0 CHECK (running >= 0),
  UNIQUE (queue, owner)
) STRICT;
CREATE INDEX shares_open ON shares (queue, vtime, share) WHERE open > 0;

-- `ready`: its tasks that may be claimed; `live`: those that have not ended. `limits`: as of its kind when it was made.
-- A task that wakes up does not count as a start: its lane is `resumed`, without the rates; it counts in `main` (NULL:
-- here) when it runs.
CREATE TABLE lanes (
  lane      INTEGER PRIMARY KEY AUTOINCREMENT,
  queue     TEXT NOT NULL,
  share     INTEGER NOT NULL,
  kind      TEXT NOT NULL,
  limits    TEXT NOT NULL,
  gates     TEXT NOT NULL,
  resumed   INTEGER NOT NULL DEFAULT 0 CHECK (resumed IN (0, 1)),
  main      INTEGER,
  ready     INTEGER NOT NULL DEFAULT 0 CHECK (ready >= 0),
  live      INTEGER NOT NULL DEFAULT 0 CHECK (live >= 0),
  turn      INTEGER NOT NULL DEFAULT 0,
  parked    TEXT,
  parked_at INTEGER,
  UNIQUE (share, kind, gates, limits, resumed)
) STRICT;
CREATE INDEX lanes_open ON lanes (share, turn, lane) WHERE ready > 0 AND parked IS NULL;
CREATE INDEX lanes_parked ON lanes (parked, parked_at, lane) WHERE parked IS NOT NULL AND ready > 0;
CREATE INDEX lanes_parked_resumed ON lanes (parked, parked_at, lane) WHERE parked IS NOT NULL AND ready > 0 AND resumed = 1;
CREATE INDEX lanes_parked_by_queue ON lanes (queue) WHERE parked IS NOT NULL AND ready > 0;
CREATE INDEX lanes_empty ON lanes (lane) WHERE live = 0;
CREATE INDEX lanes_by_main ON lanes (main) WHERE main IS NOT NULL;

CREATE TABLE lane_gates (
  lane  INTEGER NOT NULL,
  place INTEGER NOT NULL,
  gate  TEXT NOT NULL,
  PRIMARY KEY (lane, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX lane_gates_by_gate ON lane_gates (gate);

DROP INDEX tasks_ready;
CREATE INDEX tasks_ready ON tasks (queue, priority DESC, run_at, seq)
  WHERE status = 'pending' AND ready = 1 AND crashes < 2 AND lane IS NULL;
CREATE INDEX tasks_lane ON tasks (lane, priority DESC, run_at, seq)
  WHERE status = 'pending' AND ready = 1 AND crashes < 2 AND lane IS NOT NULL;
CREATE INDEX tasks_unsorted ON tasks (seq) WHERE lane = 0;

-- Which tasks are in a lane: those of a kind with limits, and of owners other than the one of the queue.
CREATE TRIGGER tasks_to_sort AFTER INSERT ON tasks
WHEN EXISTS (SELECT 1 FROM laned_kinds WHERE kind = NEW.kind)
  OR NEW.owner <> coalesce((SELECT sole FROM queues WHERE queue = NEW.queue), '') BEGIN
  UPDATE tasks SET lane = 0 WHERE seq = NEW.seq;
END;

CREATE TRIGGER tasks_reran_to_sort AFTER UPDATE OF status ON tasks
WHEN NEW.cause = 'rerun' AND NEW.lane IS NOT 0 AND (NEW.lane IS NOT NULL
  OR EXISTS (SELECT 1 FROM laned_kinds WHERE kind = NEW.kind)
  OR NEW.owner <> coalesce((SELECT sole FROM queues WHERE queue = NEW.queue), '')) BEGIN
  UPDATE tasks SET lane = 0 WHERE seq = NEW.seq;
END;

CREATE TRIGGER tasks_moved_to_sort AFTER UPDATE OF queue ON tasks
WHEN NEW.queue <> OLD.queue AND NEW.lane IS NOT 0 AND (NEW.lane IS NOT NULL
  OR NEW.owner <> coalesce((SELECT sole FROM queues WHERE queue = NEW.queue), '')) BEGIN
  UPDATE tasks SET lane = 0 WHERE seq = NEW.seq;
END;

CREATE TRIGGER tasks_changed_to_sort AFTER UPDATE OF args ON tasks WHEN NEW.lane > 0 AND NEW.status = 'pending' BEGIN
  UPDATE tasks SET lane = 0 WHERE seq = NEW.seq;
END;

-- A task that wakes up goes into the lane beside its own that knows no rates; only those that sleep need one.
-- SQLite fires the triggers that were created last first: `lanes_count` has counted the end of the run by now.
CREATE TRIGGER lanes_suspended AFTER UPDATE OF status ON tasks
WHEN NEW.lane > 0 AND NEW.cause = 'suspend' AND OLD.status = 'processing' AND NEW.status = 'pending'
  AND EXISTS (SELECT 1 FROM lane_gates WHERE lane = NEW.lane) BEGIN
  INSERT INTO lanes (queue, share, kind, limits, gates, resumed, main, turn)
    SELECT queue, share, kind, limits, gates, 1, lane, turn FROM lanes WHERE lane = NEW.lane ON CONFLICT DO NOTHING;
  INSERT INTO lane_gates (lane, place, gate)
    SELECT r.lane, g.place, g.gate FROM lanes r INDEXED BY lanes_by_main CROSS JOIN lane_gates g ON g.lane = NEW.lane
    WHERE r.main = NEW.lane ON CONFLICT DO NOTHING;
  UPDATE tasks SET lane = (SELECT r.lane FROM lanes r INDEXED BY lanes_by_main WHERE r.main = NEW.lane)
    WHERE seq = NEW.seq;
END;

-- The counts of lanes, gates and shares. A lane that was empty is looked at again.
CREATE TRIGGER lanes_count AFTER UPDATE OF status, ready ON tasks WHEN NEW.lane > 0 AND NEW.lane = OLD.lane BEGIN
  UPDATE lanes SET
    ready = ready + (NEW.status = 'pending' AND NEW.ready = 1 AND NEW.crashes < 2)
      - (OLD.status = 'pending' AND OLD.ready = 1 AND OLD.crashes < 2),
    live = live + (NEW.completed_at IS NULL) - (OLD.completed_at IS NULL),
    parked = CASE WHEN ready > 0 THEN parked END
  WHERE lane = NEW.lane;
  UPDATE gates SET running = running + (NEW.status = 'processing') - (OLD.status = 'processing'),
    dirty = dirty OR OLD.status = 'processing'
  WHERE (NEW.status = 'processing') <> (OLD.status = 'processing')
    AND gate IN (SELECT gate FROM lane_gates WHERE lane = NEW.lane);
  UPDATE shares SET running = running + (NEW.status = 'processing') - (OLD.status = 'processing')
  WHERE (NEW.status = 'processing') <> (OLD.status = 'processing')
    AND share = (SELECT share FROM lanes WHERE lane = NEW.lane);
END;

-- A task changes its lane while it waits, or when it is claimed.
CREATE TRIGGER lanes_changed AFTER UPDATE OF lane ON tasks WHEN NEW.lane IS NOT OLD.lane BEGIN
  UPDATE lanes SET
    ready = ready - (OLD.status = 'pending' AND OLD.ready = 1 AND OLD.crashes < 2),
    live = live - (OLD.completed_at IS NULL)
  WHERE lane = OLD.lane AND OLD.lane > 0;
  UPDATE lanes SET
    ready = ready + (NEW.status = 'pending' AND NEW.ready = 1 AND NEW.crashes < 2),
    live = live + (NEW.completed_at IS NULL),
    parked = CASE WHEN ready > 0 THEN parked END
  WHERE lane = NEW.lane AND NEW.lane > 0;
  UPDATE gates SET running = running + 1
  WHERE NEW.status = 'processing' AND gate IN (SELECT gate FROM lane_gates WHERE lane = NEW.lane);
  UPDATE shares SET running = running + 1
  WHERE NEW.status = 'processing' AND share = (SELECT share FROM lanes WHERE lane = NEW.lane);
END;

CREATE TRIGGER shares_count AFTER UPDATE OF ready, parked ON lanes
WHEN (OLD.ready > 0 AND OLD.parked IS NULL) <> (NEW.ready > 0 AND NEW.parked IS NULL) BEGIN
  UPDATE shares SET
    vtime = CASE WHEN open > 0 THEN vtime ELSE max(vtime, coalesce(
      (SELECT min(s.vtime) FROM shares s INDEXED BY shares_open WHERE s.queue = NEW.queue AND s.open > 0),
      (SELECT q.vtime FROM queues q WHERE q.queue = NEW.queue), vtime)) END,
    open = open + CASE WHEN NEW.ready > 0 AND NEW.parked IS NULL THEN 1 ELSE -1 END
  WHERE share = NEW.share;
END;

-- A lane that was let in, and has nothing to start any more, hands its place on.
CREATE TRIGGER lanes_emptied AFTER UPDATE OF ready ON lanes WHEN NEW.ready = 0 AND OLD.ready > 0 BEGIN
  UPDATE gates SET dirty = 1 WHERE dirty = 0 AND gate IN (SELECT gate FROM lane_gates WHERE lane = NEW.lane)
    AND EXISTS (SELECT 1 FROM lanes p INDEXED BY lanes_parked WHERE p.parked = gate AND p.ready > 0);
END;

CREATE TRIGGER limits_added AFTER INSERT ON limits BEGIN
  UPDATE gates SET dirty = 1 WHERE name = NEW.name;
END;

CREATE TRIGGER limits_changed AFTER UPDATE ON limits BEGIN
  UPDATE gates SET dirty = 1 WHERE name = NEW.name;
END;

CREATE TRIGGER limits_deleted AFTER DELETE ON limits BEGIN
  UPDATE gates SET dirty = 1 WHERE name = OLD.name;
END;

-- Lanes that may not fit their kind any more are looked at.
CREATE TRIGGER laned_kinds_added AFTER INSERT ON laned_kinds BEGIN
  UPDATE lanes SET parked = NULL WHERE kind = NEW.kind AND parked IS NOT NULL;
END;

CREATE TRIGGER laned_kinds_changed AFTER UPDATE OF limits ON laned_kinds WHEN NEW.limits <> OLD.limits BEGIN
  UPDATE lanes SET parked = NULL WHERE kind = NEW.kind AND parked IS NOT NULL;
END;

CREATE TRIGGER laned_kinds_deleted AFTER DELETE ON laned_kinds BEGIN
  UPDATE lanes SET parked = NULL WHERE kind = OLD.kind AND parked IS NOT NULL;
END;

CREATE TRIGGER lane_gates_added AFTER INSERT ON lane_gates BEGIN
  UPDATE gates SET lanes = lanes + 1 WHERE gate = NEW.gate;
END;

CREATE TRIGGER lane_gates_deleted AFTER DELETE ON lane_gates BEGIN
  UPDATE gates SET lanes = lanes - 1 WHERE gate = OLD.gate;
END;

CREATE TRIGGER lanes_deleted AFTER DELETE ON lanes BEGIN
  DELETE FROM lane_gates WHERE lane = OLD.lane;
  DELETE FROM shares WHERE share = OLD.share AND open = 0 AND running = 0
    AND NOT EXISTS (SELECT 1 FROM lanes WHERE share = OLD.share);
END;

-- A gate of the same name counts its starts from 0 again.
CREATE TRIGGER gates_deleted AFTER DELETE ON gates BEGIN
  DELETE FROM gate_starts WHERE gate = OLD.gate;
END;

-- Clients may name any number of queues.
CREATE TRIGGER queues_unused AFTER DELETE ON counters BEGIN
  DELETE FROM queues WHERE queue = OLD.queue AND paused = 0
    AND NOT EXISTS (SELECT 1 FROM counters WHERE queue = OLD.queue)
    AND NOT EXISTS (SELECT 1 FROM limits WHERE name = 'queue:' || OLD.queue);
END;
