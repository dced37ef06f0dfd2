"""R2D2: recurrent Q-learning from a replay buffer of sequences."""
