-- A key itself is nowhere in the database: only its SHA-256, in hex. Scopes are words with blanks between them.
CREATE TABLE api_keys (
  name       TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 64),
  hash       TEXT NOT NULL UNIQUE CHECK (length(hash) = 64),
  scopes     TEXT NOT NULL CHECK (length(scopes) > 0),
  created_at INTEGER NOT NULL,
  revoked_at INTEGER
) STRICT, WITHOUT ROWID;
