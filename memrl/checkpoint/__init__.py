"""Checkpoint files: values are restored bit for bit, and loading runs no code from the file."""
