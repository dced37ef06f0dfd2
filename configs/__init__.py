"""The YAML files that Hydra composes, shipped as package data."""
