"""Question answering over the bAbI stories."""
