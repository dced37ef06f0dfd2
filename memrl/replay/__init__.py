"""Replay buffers: sequences, episodes and hindsight."""
