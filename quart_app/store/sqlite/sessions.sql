-- Browsers that are signed in.

-- name: put_session
INSERT INTO sessions (hash, name, secret, created_at, expires_at)
SELECT :hash, :name, :secret, :now, :expires_at
WHERE NOT EXISTS (SELECT 1 FROM api_keys WHERE hash = :secret AND revoked_at IS NOT NULL)
RETURNING hash;

-- name: end_sessions
DELETE FROM sessions WHERE hash IN (SELECT value FROM json_each(:hashes)) RETURNING hash;

-- name: sessions
SELECT hash, name, secret, created_at, expires_at FROM sessions;
