"""A run: its directory, checkpoints, tracking, progress, evaluation and pictures."""
