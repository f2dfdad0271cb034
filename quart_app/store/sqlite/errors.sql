-- Reads the groups of failed tasks. The tables are kept by triggers.

-- name: error_groups
SELECT g.fingerprint, g.kind, g.type, g.place, g.n,
  (SELECT min(f.at) FROM failures f WHERE f.fingerprint = g.fingerprint), g.last_at, e.message, t.id
FROM error_groups g
CROSS JOIN tasks t ON t.seq = (SELECT f.task FROM failures f WHERE f.fingerprint = g.fingerprint
  ORDER BY f.at DESC, f.task DESC LIMIT 1)
CROSS JOIN errors e ON e.task = t.seq AND e.fence = (SELECT max(x.fence) FROM errors x WHERE x.task = t.seq)
WHERE g.whose = '*' AND (g.last_at, g.fingerprint) < (:last_at, :fingerprint)
ORDER BY g.last_at DESC, g.fingerprint DESC LIMIT :limit;

-- name: error_groups_of_owner
SELECT g.fingerprint, g.kind, g.type, g.place, g.n,
  (SELECT min(f.at) FROM failures f WHERE f.owner = :owner AND f.fingerprint = g.fingerprint), g.last_at, e.message, t.id
FROM error_groups g
CROSS JOIN tasks t ON t.seq = (SELECT f.task FROM failures f WHERE f.owner = :owner AND f.fingerprint = g.fingerprint
  ORDER BY f.at DESC, f.task DESC LIMIT 1)
CROSS JOIN errors e ON e.task = t.seq AND e.fence = (SELECT max(x.fence) FROM errors x WHERE x.task = t.seq)
WHERE g.whose = '=' || :owner AND (g.last_at, g.fingerprint) < (:last_at, :fingerprint)
ORDER BY g.last_at DESC, g.fingerprint DESC LIMIT :limit;

-- name: has_error_group
SELECT 1 FROM error_groups WHERE whose = CASE WHEN :owner IS NULL THEN '*' ELSE '=' || :owner END
  AND fingerprint = :fingerprint;
