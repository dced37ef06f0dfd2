"""A table of memories by tasks: what is run, how it is scored, and what the table shows."""
