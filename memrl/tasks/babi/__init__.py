"""Question answering on the bAbI stories."""
