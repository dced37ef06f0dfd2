"""Rollouts: the BatchedEnv protocol, the collector, and the storage, cut into chunks."""
