"""Returns and losses as pure functions on [T, B]."""
