-- The API keys.

-- name: add_key
INSERT INTO api_keys (name, hash, scopes, created_at) VALUES (:name, :hash, :scopes, :now)
ON CONFLICT (name) DO UPDATE
  SET hash = excluded.hash, scopes = excluded.scopes, created_at = excluded.created_at, revoked_at = NULL
  WHERE revoked_at IS NOT NULL
RETURNING name;

-- name: revoke_key
UPDATE api_keys SET revoked_at = coalesce(revoked_at, :now) WHERE name = :name RETURNING name;

-- name: api_keys
SELECT name, hash, scopes, created_at, revoked_at FROM api_keys ORDER BY name;
