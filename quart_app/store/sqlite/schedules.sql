-- Schedules and their fires. These statements run after those of the tasks: an enqueued task exists when its fire is
-- recorded, and is rolled back when that fails.

-- name: schedule_columns
s.name, s.owner, s.source, s.kind, s.args, s.cron, s.every_ms, s.timezone, s.overlap, s.catch_up, s.paused, s.revision,
  s.created_at, s.next_at, s.last_fire_at, s.last_task_id, s.last_error;

-- name: add_schedule
INSERT INTO schedules (key, name, owner, source, kind, args, cron, every_ms, timezone, overlap, catch_up, paused,
  revision, created_at, next_at)
SELECT :key, :name, :owner, 'api', :kind, :args, :cron, :every_ms, :timezone, :overlap, :catch_up, :paused, 1, :created_at,
  :next_at
WHERE (SELECT count(*) FROM schedules WHERE owner = :owner AND source = 'api') < :quota
ON CONFLICT (key) DO NOTHING
RETURNING key;

-- name: declare_schedules
INSERT INTO schedules (key, name, owner, source, kind, args, cron, every_ms, timezone, overlap, catch_up, paused,
  revision, created_at, next_at)
SELECT value->>'name', value->>'name', '', 'code', value->>'kind', value->>'args', value->>'cron', value->>'every_ms',
  value->>'timezone', value->>'overlap', value->>'catch_up', 0, 1, value->>'created_at', value->>'next_at'
FROM json_each(:rows) WHERE true
ON CONFLICT (key) DO UPDATE
  SET kind = excluded.kind, args = excluded.args, cron = excluded.cron, every_ms = excluded.every_ms,
    timezone = excluded.timezone, overlap = excluded.overlap, catch_up = excluded.catch_up, revision = revision + 1,
    next_at = CASE
      WHEN paused THEN NULL
      WHEN cron IS excluded.cron AND every_ms IS excluded.every_ms AND timezone = excluded.timezone
        THEN coalesce(next_at, excluded.next_at)
      ELSE excluded.next_at
    END
  WHERE source = 'code'
RETURNING name;

-- name: forget_schedules
DELETE FROM schedules WHERE source = 'code' AND name NOT IN (SELECT value FROM json_each(:names));

-- name: change_schedule
UPDATE schedules SET kind = :kind, args = :args, cron = :cron, every_ms = :every_ms, timezone = :timezone,
  overlap = :overlap, catch_up = :catch_up, paused = :paused, revision = revision + 1, last_error = NULL,
  next_at = CASE WHEN :planned THEN :next_at ELSE next_at END
WHERE key = :key AND revision = :revision
RETURNING key;

-- name: delete_schedule
DELETE FROM schedules WHERE key = :key AND source = 'api' RETURNING key;

-- name: put_fires
INSERT INTO fires (schedule, fire_at, task_id)
SELECT value->>'schedule', value->>'fire_at', value->>'task_id' FROM json_each(:rows) WHERE true
ON CONFLICT DO NOTHING
RETURNING task_id;

-- The last task is the one that holds the unique key of the fire, when it has one.
-- name: move_schedule
UPDATE schedules SET next_at = value->>'next_at', last_fire_at = coalesce(value->>'fire_at', last_fire_at),
  last_task_id = coalesce((SELECT u.task_id FROM unique_keys u
    WHERE u.owner = value->>'owner' AND u.kind = value->>'kind' AND u.key = value->>'unique_key'),
    value->>'task_id', last_task_id), last_error = value->>'error'
FROM json_each(:rows)
WHERE schedules.key = value->>'key' AND revision = value->>'revision' AND schedules.next_at = value->>'seen'
RETURNING schedules.key;

-- A task of an earlier fire that has not ended stays the last task, which the next fire checks.
-- name: note_task
UPDATE schedules SET last_task_id = :task_id
WHERE key = :key AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.id = last_task_id AND t.completed_at IS NULL);

-- name: prune_fires
DELETE FROM fires WHERE (schedule, fire_at) IN
  (SELECT schedule, fire_at FROM fires INDEXED BY fires_by_time WHERE fire_at < :before ORDER BY fire_at LIMIT :limit)
RETURNING fire_at;

-- name: due_schedules
SELECT {schedule_columns}, EXISTS (SELECT 1 FROM tasks t WHERE t.id = s.last_task_id AND t.completed_at IS NULL)
FROM schedules s INDEXED BY schedules_due
WHERE s.next_at IS NOT NULL AND s.next_at <= :now ORDER BY s.next_at LIMIT :limit;

-- name: next_fire
SELECT min(next_at) FROM schedules INDEXED BY schedules_due WHERE next_at IS NOT NULL;

-- name: made_fires
SELECT fire_at FROM fires WHERE schedule = :key AND fire_at IN (SELECT value FROM json_each(:times));

-- name: list_schedules
SELECT {schedule_columns} FROM schedules s
WHERE s.key > :after AND (:owner IS NULL OR s.owner = :owner) ORDER BY s.key LIMIT :limit;

-- name: get_schedule
SELECT {schedule_columns} FROM schedules s WHERE s.key = :key;

-- name: schedules_named
SELECT {schedule_columns} FROM schedules s WHERE s.name = :name ORDER BY s.key LIMIT 2;
