"""Supervised probes of a memory: what it is asked to remember, and how it learns to."""
