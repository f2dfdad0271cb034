"""HTTP only: parse, ask the TaskService, render. No SQL, no decisions."""
