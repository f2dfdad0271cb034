-- The people of the examples: a hundred, the same in every database.
CREATE TABLE users (
  id       INTEGER PRIMARY KEY,
  username TEXT NOT NULL UNIQUE CHECK (length(username) BETWEEN 1 AND 100),
  email    TEXT NOT NULL UNIQUE CHECK (length(email) BETWEEN 3 AND 254 AND email LIKE '_%@_%')
) STRICT;

INSERT INTO users (id, username, email)
WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 100)
SELECT n, 'user' || n, 'user' || n || '@example.com' FROM number;
