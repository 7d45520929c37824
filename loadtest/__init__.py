"""Load tests and benchmarks: what the server promises, proved."""
