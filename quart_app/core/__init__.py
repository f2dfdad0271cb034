"""The pure part: no await, no I/O, nothing of ours imported from outside this room."""
