-- The uploads. `use_upload` runs in the transaction that makes the task, after `enqueue`.

-- name: use_upload
INSERT INTO upload_uses (task, upload)
SELECT t.seq, u.id FROM uploads u CROSS JOIN tasks t ON t.id = :task WHERE u.id = :upload AND u.owner = :owner
RETURNING upload;

-- name: add_upload
INSERT INTO uploads (id, owner, file, name, size, sha256, created_at, expires_at)
SELECT :id, :owner, :file, :name, :size, :sha256, :now, :expires_at
WHERE (SELECT count(*) FROM uploads INDEXED BY uploads_unused WHERE owner = :owner AND expires_at IS NOT NULL) < :most
ON CONFLICT (id) DO UPDATE
  SET expires_at = CASE WHEN uploads.expires_at IS NOT NULL THEN excluded.expires_at END
RETURNING file;

-- name: drop_upload
UPDATE uploads SET expires_at = 0 WHERE id = :id AND expires_at IS NOT NULL;

-- A schedule uses the uploads that its args name until it is deleted: between two fires no task may use them. Triggers
-- maintain the table schedule_uploads.
-- name: expire_uploads
DELETE FROM uploads WHERE id IN (SELECT id FROM uploads INDEXED BY uploads_expiring
  WHERE expires_at IS NOT NULL AND expires_at <= :now
    AND NOT EXISTS (SELECT 1 FROM schedule_uploads s WHERE s.upload = uploads.id AND s.owner = uploads.owner)
  ORDER BY expires_at LIMIT :limit)
RETURNING file;

-- name: find_upload
SELECT id, owner, file, name, size, sha256 FROM uploads WHERE id = :id AND owner = :owner;

-- name: known_files
SELECT file FROM uploads WHERE file IN (SELECT value FROM json_each(:files));
