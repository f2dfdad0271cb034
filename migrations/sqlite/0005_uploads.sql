-- Uploaded files: the rows are here, the bytes in <DATA_DIR>/uploads/<file>. `expires_at` is when a file that no task
-- uses may go; it is NULL while one does.
CREATE TABLE uploads (
  id         TEXT PRIMARY KEY CHECK (length(id) = 32),
  owner      TEXT NOT NULL,
  file       TEXT NOT NULL UNIQUE,
  name       TEXT NOT NULL CHECK (length(name) <= 255),
  size       INTEGER NOT NULL CHECK (size >= 0),
  sha256     TEXT NOT NULL CHECK (length(sha256) = 64),
  created_at INTEGER NOT NULL,
  expires_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX uploads_expiring ON uploads (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX uploads_unused ON uploads (owner) WHERE expires_at IS NOT NULL;

CREATE TABLE upload_uses (
  task   INTEGER NOT NULL,
  upload TEXT NOT NULL,
  PRIMARY KEY (task, upload)
) STRICT, WITHOUT ROWID;
CREATE INDEX upload_uses_by_upload ON upload_uses (upload);

CREATE TRIGGER uploads_used AFTER INSERT ON upload_uses BEGIN
  UPDATE uploads SET expires_at = NULL WHERE id = NEW.upload;
END;

-- The file goes with the last task that used it.
CREATE TRIGGER uploads_let_go AFTER DELETE ON upload_uses BEGIN
  UPDATE uploads SET expires_at = 0
    WHERE id = OLD.upload AND NOT EXISTS (SELECT 1 FROM upload_uses WHERE upload = OLD.upload);
END;

CREATE TRIGGER tasks_deleted_uses AFTER DELETE ON tasks BEGIN
  DELETE FROM upload_uses WHERE task = OLD.seq;
END;
