"""Speed and memory, measured beside peers: `python -m benchmarks`."""
