"""Runs: the protocols of learners and agents, the run directory, the loop, signals, progress."""
