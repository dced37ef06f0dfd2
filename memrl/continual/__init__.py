"""Tasks learned one after the other by one agent, and what of the earlier ones is forgotten."""
