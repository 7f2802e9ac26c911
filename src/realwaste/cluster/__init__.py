"""Ray: connecting to a cluster, waiting for its results, what its workers need."""
