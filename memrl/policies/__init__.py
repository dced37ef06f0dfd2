"""Policy and Q-networks: encoder, memory core, heads."""
