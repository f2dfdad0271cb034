-- The statements of `audit` about lanes: what was kept of them, beside what the tasks themselves say.

-- name: lanes
SELECT l.lane, CASE
    WHEN l.ready <> count(t.seq) FILTER (WHERE t.status = 'pending' AND t.ready = 1 AND t.crashes < 2)
      THEN 'says ' || l.ready || ' tasks to claim, and there are '
        || count(t.seq) FILTER (WHERE t.status = 'pending' AND t.ready = 1 AND t.crashes < 2)
    WHEN l.live <> count(t.seq) THEN 'says ' || l.live || ' tasks, and there are ' || count(t.seq)
    WHEN sum(t.queue <> l.queue) THEN 'has tasks of another queue'
    WHEN sum(t.kind <> l.kind) THEN 'has tasks of another kind'
    WHEN NOT EXISTS (SELECT 1 FROM shares s WHERE s.share = l.share AND s.queue = l.queue)
      THEN 'is of a share that does not exist'
  END
FROM lanes l LEFT JOIN tasks t ON t.lane = l.lane AND t.completed_at IS NULL GROUP BY l.lane;

-- name: gates
SELECT u.gate, CASE
    WHEN u.running <> count(t.seq) THEN 'says ' || u.running || ' running tasks, and there are ' || count(t.seq)
    WHEN u.lanes <> count(DISTINCT b.lane) THEN 'says ' || u.lanes || ' lanes, and there are ' || count(DISTINCT b.lane)
    WHEN (SELECT max(s.n) FROM gate_starts s WHERE s.gate = u.gate) <> u.started - 1
      THEN 'has recorded other starts than it has counted'
  END
FROM gates u LEFT JOIN lane_gates b ON b.gate = u.gate
LEFT JOIN tasks t ON t.lane = b.lane AND t.status = 'processing' GROUP BY u.gate;

-- name: shares
SELECT s.share, CASE
    WHEN s.running <> (SELECT count(*) FROM lanes l CROSS JOIN tasks t ON t.lane = l.lane AND t.status = 'processing'
      WHERE l.share = s.share) THEN 'says ' || s.running || ' running tasks, and there are others'
    WHEN s.open <> (SELECT count(*) FROM lanes l WHERE l.share = s.share AND l.ready > 0 AND l.parked IS NULL)
      THEN 'says ' || s.open || ' open lanes, and there are others'
  END
FROM shares s;

-- name: unlaned
SELECT id, CASE WHEN lane = 0 THEN 'is to be put into a lane' ELSE 'is in a lane that does not exist' END
FROM tasks WHERE completed_at IS NULL AND (lane = 0 OR lane > 0 AND lane NOT IN (SELECT lane FROM lanes));
