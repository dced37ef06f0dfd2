"""PPO with truncated backpropagation through a memory."""
