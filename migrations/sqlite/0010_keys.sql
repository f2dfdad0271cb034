-- What a key may, for how long, and when it was last used (to the minute). After a rotation the secret before opens the
-- same until `old_until`. `kinds` is a JSON array of those that it may start; NULL: all.
ALTER TABLE api_keys ADD COLUMN expires_at INTEGER;
ALTER TABLE api_keys ADD COLUMN kinds TEXT CHECK (kinds LIKE '["%"]');
ALTER TABLE api_keys ADD COLUMN last_used_at INTEGER;
ALTER TABLE api_keys ADD COLUMN old_hash TEXT CHECK (length(old_hash) = 64);
ALTER TABLE api_keys ADD COLUMN old_until INTEGER CHECK ((old_until IS NULL) = (old_hash IS NULL));
