-- What `audit` asks about the figures over time.

-- Each bucket counts the same by kind and by queue, and tells at most 50 names apart, beside `other`.
-- name: stats
SELECT width, start, CASE
    WHEN sum(iif(dimension = 'kind', 1, -1) * started) <> 0 OR sum(iif(dimension = 'kind', 1, -1) * completed) <> 0
      OR sum(iif(dimension = 'kind', 1, -1) * failed) <> 0 OR sum(iif(dimension = 'kind', 1, -1) * cancelled) <> 0
      THEN 'says one thing by kind and another by queue'
    WHEN sum(dimension = 'kind') > 51 OR sum(dimension = 'queue') > 51 THEN 'tells too many names apart'
    WHEN sum((SELECT sum(value) FROM json_each(waited)) > started) > 0 THEN 'has more waits than starts'
    WHEN sum((SELECT sum(value) FROM json_each(ran)) > completed + failed + cancelled) > 0
      THEN 'has more runs than ends'
  END
FROM stats WHERE (width, start) > (:width, :start) GROUP BY width, start ORDER BY width, start LIMIT :n;

-- name: stats_mark
SELECT seq, (SELECT seq FROM sqlite_sequence WHERE name = 'events') FROM stats_mark;

-- Deleted tasks whose events are not counted yet.
-- name: stats_gone
SELECT g.task, CASE
    WHEN g.task IN (SELECT seq FROM tasks) THEN 'that does exist'
    WHEN g.task NOT IN (SELECT task FROM deleted_tasks) THEN 'that does not stand among the deleted ones'
  END
FROM stats_gone g;
