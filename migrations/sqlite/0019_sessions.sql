-- Browsers that are signed in. A token itself is nowhere in the database: `hash` is its SHA-256, `secret` that of the
-- secret of the key it was opened with, both in hex. A session ends with that secret, in the same transaction.
CREATE TABLE sessions (
  hash       TEXT PRIMARY KEY CHECK (length(hash) = 64),
  name       TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
  secret     TEXT NOT NULL CHECK (length(secret) = 64),
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL CHECK (expires_at > created_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_secret ON sessions (secret);

CREATE TRIGGER sessions_of_secrets_gone AFTER UPDATE OF hash, old_hash, revoked_at ON api_keys BEGIN
  DELETE FROM sessions WHERE secret IN (OLD.hash, OLD.old_hash)
    AND (NEW.revoked_at IS NOT NULL OR (secret <> NEW.hash AND secret IS NOT NEW.old_hash));
END;
