"""An AI service of the load test's own: it behaves as services do, and remembers what it was told."""
