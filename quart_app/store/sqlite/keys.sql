-- The API keys and the audit log.

-- name: add_key
INSERT INTO api_keys (name, hash, scopes, created_at, expires_at, kinds)
VALUES (:name, :hash, :scopes, :now, :expires_at, :kinds)
ON CONFLICT (name) DO UPDATE
  SET hash = excluded.hash, scopes = excluded.scopes, created_at = excluded.created_at, revoked_at = NULL,
    expires_at = excluded.expires_at, kinds = excluded.kinds, last_used_at = NULL, old_hash = NULL, old_until = NULL
  WHERE revoked_at IS NOT NULL OR expires_at <= :now
RETURNING name;

-- name: rotate_key
UPDATE api_keys SET old_hash = CASE WHEN :old_until > :now THEN hash END,
  old_until = CASE WHEN :old_until > :now THEN :old_until END, hash = :hash
WHERE name = :name AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now)
RETURNING name;

-- name: revoke_key
UPDATE api_keys SET revoked_at = coalesce(revoked_at, :now), old_hash = NULL, old_until = NULL
WHERE name = :name RETURNING name;

-- name: use_keys
UPDATE api_keys SET last_used_at = max(coalesce(last_used_at, 0), row.value ->> 'at')
FROM json_each(:rows) AS row WHERE api_keys.name = row.value ->> 'name' AND revoked_at IS NULL;

-- name: api_keys
SELECT name, hash, scopes, created_at, revoked_at, expires_at, kinds, last_used_at, old_hash, old_until
FROM api_keys ORDER BY name;

-- name: put_acts
INSERT INTO audit_log (at, refusal, act, actor, peer, target, detail, times, last_at)
SELECT row.value ->> 'at', row.value ->> 'act' = 'key.refused', row.value ->> 'act', row.value ->> 'actor',
  row.value ->> 'peer', row.value ->> 'target', row.value ->> 'detail', row.value ->> 'times', row.value ->> 'last_at'
FROM json_each(:rows) AS row;

-- name: acts
SELECT at, act, actor, peer, target, detail, times, last_at, seq FROM audit_log
WHERE seq < :before AND (:act IS NULL OR act = :act) ORDER BY seq DESC LIMIT :limit;

-- name: prune_acts
DELETE FROM audit_log WHERE seq IN (
  SELECT seq FROM audit_log INDEXED BY audit_log_by_sort WHERE refusal = :refusal
    AND (last_at < :before
      OR seq <= (SELECT seq FROM audit_log WHERE refusal = :refusal ORDER BY seq DESC LIMIT 1 OFFSET :most))
  ORDER BY seq LIMIT :limit)
RETURNING seq;
