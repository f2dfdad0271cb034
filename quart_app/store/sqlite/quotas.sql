-- What owners keep. Triggers of the migration maintain the counts.

-- name: owner_usage
SELECT coalesce(o.bytes + o.files, 0), coalesce(o.uploads, 0),
  (SELECT count(*) FROM schedules s WHERE s.owner = i.owner)
FROM (SELECT :owner AS owner) i LEFT JOIN owners o ON o.owner = i.owner;

-- name: owner_queues
SELECT queue, waiting, delayed FROM owned_queues WHERE owner = :owner AND live > 0;

-- `rows`: task ids, each with the bytes of its files.
-- name: files_of_owners
SELECT t.owner, r.value ->> 1 FROM json_each(:rows) r CROSS JOIN tasks t ON t.id = r.value ->> 0 WHERE t.owner <> '';

-- name: put_files_of_owners
UPDATE owners SET files = coalesce((SELECT r.value ->> 1 FROM json_each(:rows) r WHERE r.value ->> 0 = owner), 0)
WHERE files <> coalesce((SELECT r.value ->> 1 FROM json_each(:rows) r WHERE r.value ->> 0 = owner), 0);

-- name: prune_owned_queues
DELETE FROM owned_queues WHERE (owner, queue) IN (SELECT owner, queue FROM owned_queues WHERE live = 0 LIMIT :limit)
RETURNING queue;
