"""Handlers that run in child processes."""
