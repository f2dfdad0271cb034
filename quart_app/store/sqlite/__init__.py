"""SQLite: the database, its lock and its files, and the statements in its dialect."""
