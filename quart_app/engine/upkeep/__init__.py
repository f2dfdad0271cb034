"""Upkeep: one timer and one `run_once(now)` each."""
