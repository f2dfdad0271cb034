-- Failed tasks by what went wrong. `place` is where in the handler's own code an attempt ended in an error (NULL: there
-- is no such place); `fingerprint` is the same for errors of one kind, type and place. error_fingerprint is a function
-- of the writing connection: triggers may not call it.
ALTER TABLE errors ADD COLUMN place TEXT;
ALTER TABLE errors ADD COLUMN fingerprint TEXT;
UPDATE errors SET fingerprint = error_fingerprint((SELECT kind FROM tasks WHERE seq = task), type, NULL)
WHERE task IN (SELECT seq FROM tasks WHERE status = 'failed');

-- One row for each failed task, as long as it is failed, with the fingerprint of its last error.
CREATE TABLE failures (
  task        INTEGER PRIMARY KEY,
  fingerprint TEXT NOT NULL,
  owner       TEXT NOT NULL,
  at          INTEGER NOT NULL
) STRICT;
INSERT INTO failures (task, fingerprint, owner, at)
SELECT t.seq, e.fingerprint, t.owner, t.completed_at
FROM tasks t JOIN errors e ON e.task = t.seq AND e.fence = (SELECT max(x.fence) FROM errors x WHERE x.task = t.seq)
WHERE t.status = 'failed';
CREATE INDEX failures_by_task ON failures (fingerprint, task, owner);
CREATE INDEX failures_by_time ON failures (fingerprint, at, task);
CREATE INDEX failures_of_owner ON failures (owner, fingerprint, at, task);

-- How many failures there are of one fingerprint, and when the last one was: of everybody ('*'), and of each owner
-- with a name ('=' and the name).
CREATE TABLE error_groups (
  whose       TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  kind        TEXT NOT NULL,
  type        TEXT NOT NULL,
  place       TEXT,
  n           INTEGER NOT NULL CHECK (n >= 0),
  last_at     INTEGER NOT NULL,
  PRIMARY KEY (whose, fingerprint)
) STRICT, WITHOUT ROWID;
INSERT INTO error_groups (whose, fingerprint, kind, type, n, last_at)
SELECT w.whose, f.fingerprint, t.kind, e.type, count(*), max(f.at)
FROM failures f JOIN tasks t ON t.seq = f.task
  JOIN errors e ON e.task = f.task AND e.fence = (SELECT max(x.fence) FROM errors x WHERE x.task = f.task)
  JOIN (SELECT DISTINCT '*' AS whose, NULL AS owner UNION ALL SELECT DISTINCT '=' || owner, owner FROM failures
    WHERE owner <> '') w ON w.owner IS NULL OR w.owner = f.owner
GROUP BY w.whose, f.fingerprint;
CREATE INDEX error_groups_newest ON error_groups (whose, last_at, fingerprint);

CREATE TRIGGER tasks_failed AFTER UPDATE OF status ON tasks WHEN NEW.status = 'failed' AND OLD.status <> 'failed' BEGIN
  INSERT INTO failures (task, fingerprint, owner, at)
    SELECT e.task, e.fingerprint, NEW.owner, NEW.completed_at FROM errors e
    WHERE e.task = NEW.seq AND e.fingerprint IS NOT NULL ORDER BY e.fence DESC LIMIT 1;
  INSERT INTO error_groups (whose, fingerprint, kind, type, place, n, last_at)
    SELECT w.whose, f.fingerprint, NEW.kind, e.type, e.place, 1, f.at
    FROM failures f
      JOIN errors e ON e.task = f.task AND e.fence = (SELECT max(x.fence) FROM errors x WHERE x.task = f.task)
      JOIN (SELECT '*' AS whose UNION ALL SELECT '=' || NEW.owner WHERE NEW.owner <> '') w
    WHERE f.task = NEW.seq
    ON CONFLICT (whose, fingerprint) DO UPDATE SET n = n + 1, last_at = max(last_at, excluded.last_at);
END;

CREATE TRIGGER tasks_failed_no_more AFTER UPDATE OF status ON tasks
WHEN OLD.status = 'failed' AND NEW.status <> 'failed' BEGIN
  DELETE FROM failures WHERE task = NEW.seq;
END;

CREATE TRIGGER tasks_failed_deleted AFTER DELETE ON tasks WHEN OLD.status = 'failed' BEGIN
  DELETE FROM failures WHERE task = OLD.seq;
END;

CREATE TRIGGER failures_gone AFTER DELETE ON failures BEGIN
  DELETE FROM error_groups WHERE whose IN ('*', '=' || OLD.owner) AND fingerprint = OLD.fingerprint AND n = 1;
  UPDATE error_groups SET n = n - 1, last_at = CASE
      WHEN last_at > OLD.at THEN last_at
      WHEN whose = '*' THEN (SELECT max(f.at) FROM failures f WHERE f.fingerprint = OLD.fingerprint)
      ELSE (SELECT max(f.at) FROM failures f WHERE f.owner = OLD.owner AND f.fingerprint = OLD.fingerprint)
    END
    WHERE whose IN ('*', '=' || OLD.owner) AND fingerprint = OLD.fingerprint;
END;
