-- What counts under a limit, over restarts.

-- Calls of tasks to others (ctx.limit). In flight until they are dated: by two clocks, because the wall clock steps and
-- the other one starts again at each boot (core/limits.py).
CREATE TABLE limit_calls (
  id        INTEGER PRIMARY KEY,
  name      TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
  window_ms INTEGER NOT NULL CHECK (window_ms > 0),
  wall      INTEGER,
  up        INTEGER,
  CHECK ((wall IS NULL) = (up IS NULL))
) STRICT;

-- Somebody said "not before": nobody calls from then on for so long.
CREATE TABLE limit_holds (
  id      INTEGER PRIMARY KEY,
  name    TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
  wall    INTEGER NOT NULL,
  up      INTEGER NOT NULL,
  held_ms INTEGER NOT NULL CHECK (held_ms > 0)
) STRICT;

-- Calls of clients to us, one row a client: the dates of those in the window, a JSON array in ms UTC, oldest first.
CREATE TABLE client_calls (
  owner  TEXT NOT NULL,
  client TEXT NOT NULL CHECK (length(client) > 0),
  last   INTEGER NOT NULL,
  dates  TEXT NOT NULL CHECK (dates LIKE '[%]'),
  PRIMARY KEY (owner, client)
) STRICT;
CREATE INDEX client_calls_silent ON client_calls (owner, last);
