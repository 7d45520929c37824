"""A cluster of the load test's own: nodes, PostgreSQL, Valkey, and the network between them."""
