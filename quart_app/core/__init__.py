"""The pure part: no await, no I/O, and no import of other rooms of this package."""
