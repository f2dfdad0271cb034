-- The users of the examples.

-- name: users
SELECT id, username, email FROM users WHERE id > :after ORDER BY id LIMIT :limit;

-- name: user
SELECT id, username, email FROM users WHERE id = :id;
