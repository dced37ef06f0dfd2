"""Values to files and back, bit for bit; loading a file never runs code from it."""
