"""HTTP only: parse the request, call the services, render the answer. No SQL, no decisions."""
