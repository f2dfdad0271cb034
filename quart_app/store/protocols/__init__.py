"""The contracts of the store, one Protocol for each subject. `tests/store/conformance.py` checks every store."""
