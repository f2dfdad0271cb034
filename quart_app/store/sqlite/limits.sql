-- Calls that count under a limit: of tasks to other servers, and of clients to this server.

-- name: enter_calls
INSERT INTO limit_calls (id, name, window_ms)
SELECT row.value ->> 'id', row.value ->> 'name', row.value ->> 'window_ms' FROM json_each(:rows) AS row;

-- name: date_calls
UPDATE limit_calls SET wall = row.value ->> 'wall', up = row.value ->> 'up'
FROM json_each(:rows) AS row WHERE limit_calls.id = row.value ->> 'id';

-- name: forget_calls
DELETE FROM limit_calls WHERE id IN (SELECT row.value ->> 'id' FROM json_each(:rows) AS row);

-- name: date_left_calls
UPDATE limit_calls SET wall = :wall, up = :up WHERE wall IS NULL;

-- name: limit_calls
SELECT id, name, window_ms, wall, up FROM limit_calls WHERE id > :after ORDER BY id LIMIT :limit;

-- name: hold
INSERT INTO limit_holds (id, name, wall, up, held_ms) VALUES (:id, :name, :wall, :up, :held_ms);

-- name: forget_holds
DELETE FROM limit_holds WHERE id IN (SELECT row.value ->> 'id' FROM json_each(:rows) AS row);

-- name: limit_holds
SELECT id, name, wall, up, held_ms FROM limit_holds;

-- name: put_client_calls
INSERT INTO client_calls (owner, client, last, dates)
SELECT row.value ->> 'owner', row.value ->> 'client', row.value ->> 'last', row.value ->> 'dates'
FROM json_each(:rows) AS row WHERE true
ON CONFLICT (owner, client) DO UPDATE SET last = excluded.last, dates = excluded.dates;

-- name: forget_clients
DELETE FROM client_calls WHERE rowid IN (
  SELECT rowid FROM client_calls WHERE owner = :owner AND last <= :before ORDER BY last LIMIT :limit
) RETURNING 1;

-- name: client_calls
SELECT dates FROM client_calls WHERE owner = :owner AND client = :client;

-- name: client_counts
SELECT owner, count(*), max(last) FROM client_calls GROUP BY owner;
