"""All SQL and row mapping, nothing else."""
