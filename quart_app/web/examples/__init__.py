"""The demonstration routes, one file a subject: what people copy."""
