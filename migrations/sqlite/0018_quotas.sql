-- What each owner keeps, for the quotas of keys. The owner '', who is the operator, has no quotas and no rows.

-- What a key may use, a JSON object of numbers by name; NULL: as the settings say.
ALTER TABLE api_keys ADD COLUMN quotas TEXT CHECK (quotas LIKE '{"%}');

-- Bytes: `bytes` of args, results and steps of tasks and of uploads; `files` of what tasks wrote, which upkeep counts.
CREATE TABLE owners (
  owner   TEXT PRIMARY KEY CHECK (owner <> ''),
  bytes   INTEGER NOT NULL DEFAULT 0 CHECK (bytes >= 0),
  uploads INTEGER NOT NULL DEFAULT 0 CHECK (uploads >= 0),
  files   INTEGER NOT NULL DEFAULT 0 CHECK (files >= 0)
) STRICT, WITHOUT ROWID;

-- `waiting`: tasks that are due; `delayed`: all others that are pending; `live`: all that have not ended.
CREATE TABLE owned_queues (
  owner   TEXT NOT NULL CHECK (owner <> ''),
  queue   TEXT NOT NULL,
  waiting INTEGER NOT NULL DEFAULT 0 CHECK (waiting >= 0),
  delayed INTEGER NOT NULL DEFAULT 0 CHECK (delayed >= 0),
  live    INTEGER NOT NULL DEFAULT 0 CHECK (live >= 0),
  PRIMARY KEY (owner, queue)
) STRICT, WITHOUT ROWID;

-- The rows of a deleted task go in bites; until then they count for its owner.
ALTER TABLE deleted_tasks ADD COLUMN owner TEXT NOT NULL DEFAULT '';
DROP TRIGGER tasks_deleted;
CREATE TRIGGER tasks_deleted AFTER DELETE ON tasks BEGIN
  INSERT INTO deleted_tasks (task, owner) VALUES (OLD.seq, OLD.owner);
  UPDATE counters SET n = n - 1
    WHERE queue = OLD.queue AND kind = OLD.kind AND status = OLD.status AND ready = OLD.ready;
  UPDATE owners SET bytes = bytes - coalesce(length(CAST(OLD.args AS BLOB)), 0)
      - coalesce(length(CAST(OLD.result AS BLOB)), 0)
    WHERE owner = OLD.owner;
END;

INSERT INTO owned_queues (owner, queue, waiting, delayed, live)
  SELECT owner, queue, sum(ready), sum(status = 'pending' AND ready = 0), count(*)
  FROM tasks WHERE owner <> '' AND completed_at IS NULL GROUP BY owner, queue;
INSERT INTO owners (owner, bytes, uploads)
  SELECT owner, sum(bytes), sum(upload) FROM (
    SELECT owner, coalesce(length(CAST(args AS BLOB)), 0) + coalesce(length(CAST(result AS BLOB)), 0) AS bytes,
      0 AS upload FROM tasks WHERE owner <> ''
    UNION ALL SELECT t.owner, length(CAST(a.args AS BLOB)), 0 FROM args a CROSS JOIN tasks t ON t.seq = a.task
      WHERE t.owner <> ''
    UNION ALL SELECT t.owner, length(CAST(r.result AS BLOB)), 0 FROM results r CROSS JOIN tasks t ON t.seq = r.task
      WHERE t.owner <> ''
    UNION ALL SELECT t.owner, s.size, 0 FROM steps s CROSS JOIN tasks t ON t.seq = s.task WHERE t.owner <> ''
    UNION ALL SELECT owner, size, 1 FROM uploads WHERE owner <> '')
  GROUP BY owner;

CREATE TRIGGER owned_task_made AFTER INSERT ON tasks WHEN NEW.owner <> '' BEGIN
  INSERT INTO owned_queues (owner, queue, waiting, delayed, live)
    VALUES (NEW.owner, NEW.queue, NEW.ready, 1 - NEW.ready, 1)
    ON CONFLICT DO UPDATE SET waiting = waiting + excluded.waiting, delayed = delayed + excluded.delayed, live = live + 1;
  INSERT INTO owners (owner, bytes) VALUES (NEW.owner, coalesce(length(CAST(NEW.args AS BLOB)), 0))
    ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER owned_task_changed AFTER UPDATE OF status, ready ON tasks
WHEN NEW.owner <> '' AND NEW.queue = OLD.queue AND (NEW.status, NEW.ready) <> (OLD.status, OLD.ready) BEGIN
  INSERT INTO owned_queues (owner, queue) SELECT NEW.owner, NEW.queue
    WHERE OLD.completed_at IS NOT NULL AND NEW.completed_at IS NULL ON CONFLICT DO NOTHING;
  UPDATE owned_queues SET waiting = waiting + NEW.ready - OLD.ready,
      delayed = delayed + (NEW.status = 'pending' AND NEW.ready = 0) - (OLD.status = 'pending' AND OLD.ready = 0),
      live = live + (NEW.completed_at IS NULL) - (OLD.completed_at IS NULL)
    WHERE owner = NEW.owner AND queue = NEW.queue;
END;

CREATE TRIGGER owned_task_moved AFTER UPDATE OF queue ON tasks WHEN NEW.owner <> '' AND NEW.queue <> OLD.queue BEGIN
  UPDATE owned_queues SET waiting = waiting - OLD.ready, delayed = delayed - (OLD.status = 'pending' AND OLD.ready = 0),
      live = live - (OLD.completed_at IS NULL)
    WHERE owner = OLD.owner AND queue = OLD.queue;
  INSERT INTO owned_queues (owner, queue) VALUES (NEW.owner, NEW.queue) ON CONFLICT DO NOTHING;
  UPDATE owned_queues SET waiting = waiting + NEW.ready, delayed = delayed + (NEW.status = 'pending' AND NEW.ready = 0),
      live = live + (NEW.completed_at IS NULL)
    WHERE owner = NEW.owner AND queue = NEW.queue;
END;

CREATE TRIGGER owned_task_bytes AFTER UPDATE OF args, result ON tasks
WHEN NEW.owner <> '' AND (NEW.args IS NOT OLD.args OR NEW.result IS NOT OLD.result) BEGIN
  UPDATE owners SET bytes = bytes
      + coalesce(length(CAST(NEW.args AS BLOB)), 0) + coalesce(length(CAST(NEW.result AS BLOB)), 0)
      - coalesce(length(CAST(OLD.args AS BLOB)), 0) - coalesce(length(CAST(OLD.result AS BLOB)), 0)
    WHERE owner = NEW.owner;
END;

CREATE TRIGGER owned_args_made AFTER INSERT ON args WHEN EXISTS (SELECT 1 FROM owners) BEGIN
  UPDATE owners SET bytes = bytes + length(CAST(NEW.args AS BLOB))
    WHERE owner = (SELECT owner FROM tasks WHERE seq = NEW.task);
END;
CREATE TRIGGER owned_args_deleted AFTER DELETE ON args WHEN EXISTS (SELECT 1 FROM owners) BEGIN
  UPDATE owners SET bytes = bytes - length(CAST(OLD.args AS BLOB))
    WHERE owner = coalesce((SELECT owner FROM tasks WHERE seq = OLD.task),
      (SELECT owner FROM deleted_tasks WHERE task = OLD.task));
END;
CREATE TRIGGER owned_result_made AFTER INSERT ON results WHEN EXISTS (SELECT 1 FROM owners) BEGIN
  UPDATE owners SET bytes = bytes + length(CAST(NEW.result AS BLOB))
    WHERE owner = (SELECT owner FROM tasks WHERE seq = NEW.task);
END;
CREATE TRIGGER owned_result_deleted AFTER DELETE ON results WHEN EXISTS (SELECT 1 FROM owners) BEGIN
  UPDATE owners SET bytes = bytes - length(CAST(OLD.result AS BLOB))
    WHERE owner = coalesce((SELECT owner FROM tasks WHERE seq = OLD.task),
      (SELECT owner FROM deleted_tasks WHERE task = OLD.task));
END;
CREATE TRIGGER owned_step_made AFTER INSERT ON steps WHEN EXISTS (SELECT 1 FROM owners) BEGIN
  UPDATE owners SET bytes = bytes + NEW.size WHERE owner = (SELECT owner FROM tasks WHERE seq = NEW.task);
END;
CREATE TRIGGER owned_step_changed AFTER UPDATE OF size ON steps
WHEN NEW.size <> OLD.size AND EXISTS (SELECT 1 FROM owners) BEGIN
  UPDATE owners SET bytes = bytes + NEW.size - OLD.size WHERE owner = (SELECT owner FROM tasks WHERE seq = NEW.task);
END;
CREATE TRIGGER owned_step_deleted AFTER DELETE ON steps WHEN EXISTS (SELECT 1 FROM owners) BEGIN
  UPDATE owners SET bytes = bytes - OLD.size
    WHERE owner = coalesce((SELECT owner FROM tasks WHERE seq = OLD.task),
      (SELECT owner FROM deleted_tasks WHERE task = OLD.task));
END;

CREATE TRIGGER owned_upload_made AFTER INSERT ON uploads WHEN NEW.owner <> '' BEGIN
  INSERT INTO owners (owner, bytes, uploads) VALUES (NEW.owner, NEW.size, 1)
    ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes, uploads = uploads + 1;
END;
CREATE TRIGGER owned_upload_deleted AFTER DELETE ON uploads WHEN OLD.owner <> '' BEGIN
  UPDATE owners SET bytes = bytes - OLD.size, uploads = uploads - 1 WHERE owner = OLD.owner;
END;
