-- Deletes rows that are past their retention.

-- name: prune_old
DELETE FROM tasks WHERE seq IN (SELECT seq FROM tasks
  WHERE completed_at IS NOT NULL AND retention_ms IS NULL AND held = 0 AND completed_at < :before ORDER BY completed_at LIMIT :limit)
RETURNING id;

-- name: prune_kept
DELETE FROM tasks WHERE seq IN (SELECT seq FROM tasks
  WHERE retention_ms IS NOT NULL AND completed_at IS NOT NULL AND held = 0
    AND completed_at + retention_ms < :now
  ORDER BY completed_at + retention_ms LIMIT :limit)
RETURNING id;

-- name: prune_keys
DELETE FROM idempotency_keys WHERE (owner, key) IN
  (SELECT owner, key FROM idempotency_keys WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit)
RETURNING key;

-- The rows left of deleted tasks: (table, key, rest of the key, characters). SQLite gives them arm by arm, as long as
-- the reader takes them. A reader that gets a row of the last arm has read all rows of the others.
-- name: left_rows
WITH gone (task) AS MATERIALIZED (SELECT task FROM deleted_tasks
  WHERE task NOT IN (SELECT task FROM ended_parents) AND task NOT IN (SELECT task FROM stats_gone)
  ORDER BY task LIMIT :limit)
SELECT 'events', x.seq, NULL, coalesce(length(x.data), 0) FROM gone d CROSS JOIN events x ON x.task = d.task
UNION ALL SELECT 'steps', x.task, x.name, x.size FROM gone d CROSS JOIN steps x ON x.task = d.task
UNION ALL SELECT 'errors', x.task, x.fence, length(x.message) + coalesce(length(x.traceback), 0)
  FROM gone d CROSS JOIN errors x ON x.task = d.task
UNION ALL SELECT 'args', x.task, NULL, length(x.args) FROM gone d CROSS JOIN args x ON x.task = d.task
UNION ALL SELECT 'results', x.task, NULL, length(x.result) FROM gone d CROSS JOIN results x ON x.task = d.task
UNION ALL SELECT 'progress', x.task, NULL, 0 FROM gone d CROSS JOIN progress x ON x.task = d.task
UNION ALL SELECT 'tags', x.task, x.tag, 0 FROM gone d CROSS JOIN tags x ON x.task = d.task
UNION ALL SELECT 'signals', x.seq, NULL, length(x.data) FROM gone d CROSS JOIN signals x ON x.task = d.task
UNION ALL SELECT 'children', x.parent, x.task, 0 FROM gone d CROSS JOIN children x ON x.parent = d.task
UNION ALL SELECT 'families', x.parent, NULL, 0 FROM gone d CROSS JOIN families x ON x.parent = d.task
UNION ALL SELECT 'deleted_tasks', task, NULL, 0 FROM gone;

-- name: clear_events
DELETE FROM events WHERE seq IN (SELECT value->>0 FROM json_each(:keys));

-- name: clear_steps
DELETE FROM steps WHERE (task, name) IN (SELECT value->>0, value->>1 FROM json_each(:keys));

-- name: clear_errors
DELETE FROM errors WHERE (task, fence) IN (SELECT value->>0, value->>1 FROM json_each(:keys));

-- name: clear_args
DELETE FROM args WHERE task IN (SELECT value->>0 FROM json_each(:keys));

-- name: clear_results
DELETE FROM results WHERE task IN (SELECT value->>0 FROM json_each(:keys));

-- name: clear_progress
DELETE FROM progress WHERE task IN (SELECT value->>0 FROM json_each(:keys));

-- name: clear_tags
DELETE FROM tags WHERE (task, tag) IN (SELECT value->>0, value->>1 FROM json_each(:keys));

-- name: clear_signals
DELETE FROM signals WHERE seq IN (SELECT value->>0 FROM json_each(:keys));

-- name: clear_children
DELETE FROM children WHERE (parent, task) IN (SELECT value->>0, value->>1 FROM json_each(:keys));

-- name: clear_families
DELETE FROM families WHERE parent IN (SELECT value->>0 FROM json_each(:keys));

-- name: clear_deleted_tasks
DELETE FROM deleted_tasks WHERE task IN (SELECT value->>0 FROM json_each(:keys));

-- An unused queue leaves rows with n = 0. They are found by a scan: an index would cost every task.
-- name: prune_counters
DELETE FROM counters WHERE (queue, kind, status, ready) IN
  (SELECT queue, kind, status, ready FROM counters WHERE n = 0 LIMIT :limit)
RETURNING n;
