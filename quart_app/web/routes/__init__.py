"""The routes, one file a subject: parse, ask the service, render."""
