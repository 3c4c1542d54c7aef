"""What the hub costs, measured: `python -m benchmarks --help`."""
