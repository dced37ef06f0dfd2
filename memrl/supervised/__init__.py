"""Supervised runs: ``memrl fit memory=ntm task=copy``."""
