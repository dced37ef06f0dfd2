"""Ray: a cluster of machines, or this one as a cluster, and searches on it."""
