-- Who did what as administrator, and whose keys were refused. `refusal` rows count: one stands for all keys that one
-- peer was refused in a minute, `times` of them from `at` to `last_at`. Both sorts have a ceiling of their own, so that
-- a stranger's guesses never push out what an administrator did.
CREATE TABLE audit_log (
  seq     INTEGER PRIMARY KEY AUTOINCREMENT,
  at      INTEGER NOT NULL,
  refusal INTEGER NOT NULL CHECK (refusal IN (0, 1)),
  act     TEXT NOT NULL CHECK (length(act) BETWEEN 1 AND 64),
  actor   TEXT NOT NULL CHECK (length(actor) <= 100),
  peer    TEXT NOT NULL CHECK (length(peer) <= 100),
  target  TEXT NOT NULL CHECK (length(target) <= 200),
  detail  TEXT NOT NULL CHECK (length(detail) <= 1000),
  times   INTEGER NOT NULL CHECK (times >= 1),
  last_at INTEGER NOT NULL
) STRICT;
CREATE INDEX audit_log_by_sort ON audit_log (refusal, seq);
