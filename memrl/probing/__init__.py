"""Experiments on a trained memory: what happens when its state is changed, and what it holds."""
