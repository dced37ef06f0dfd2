"""Networks that act: encoder, memory core, heads."""
