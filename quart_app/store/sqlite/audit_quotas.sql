-- What `audit` asks about what owners keep.

-- name: owned_queues
SELECT k.owner, k.queue, 'says ' || k.waiting || ' waiting, ' || k.delayed || ' delayed, ' || k.live || ' in all; there are '
    || coalesce(r.waiting, 0) || ', ' || coalesce(r.delayed, 0) || ', ' || coalesce(r.live, 0)
FROM owned_queues k LEFT JOIN (
  SELECT owner, queue, sum(ready) AS waiting, sum(status = 'pending' AND ready = 0) AS delayed, count(*) AS live
  FROM tasks WHERE owner <> '' AND completed_at IS NULL GROUP BY owner, queue) r USING (owner, queue)
WHERE (k.waiting, k.delayed, k.live)
  IS NOT (coalesce(r.waiting, 0), coalesce(r.delayed, 0), coalesce(r.live, 0))
UNION ALL SELECT owner, queue, 'is not counted' FROM (
  SELECT DISTINCT owner, queue FROM tasks WHERE owner <> '' AND completed_at IS NULL)
WHERE (owner, queue) NOT IN (SELECT owner, queue FROM owned_queues);

-- name: owners
SELECT o.owner, o.bytes, o.uploads, coalesce(r.bytes, 0), coalesce(r.uploads, 0)
FROM owners o LEFT JOIN (
  SELECT owner, sum(bytes) AS bytes, sum(upload) AS uploads FROM (
    SELECT owner, coalesce(length(CAST(args AS BLOB)), 0) + coalesce(length(CAST(result AS BLOB)), 0) AS bytes,
      0 AS upload FROM tasks WHERE owner <> ''
    UNION ALL SELECT t.owner, length(CAST(a.args AS BLOB)), 0 FROM args a CROSS JOIN (
      SELECT seq, owner FROM tasks UNION ALL SELECT task, owner FROM deleted_tasks) t ON t.seq = a.task
    UNION ALL SELECT t.owner, length(CAST(x.result AS BLOB)), 0 FROM results x CROSS JOIN (
      SELECT seq, owner FROM tasks UNION ALL SELECT task, owner FROM deleted_tasks) t ON t.seq = x.task
    UNION ALL SELECT t.owner, s.size, 0 FROM steps s CROSS JOIN (
      SELECT seq, owner FROM tasks UNION ALL SELECT task, owner FROM deleted_tasks) t ON t.seq = s.task
    UNION ALL SELECT owner, size, 1 FROM uploads WHERE owner <> '')
  GROUP BY owner) r USING (owner)
ORDER BY o.owner;
