"""From environment to chunks: the BatchedEnv protocol, the rollout storage, the collector."""
