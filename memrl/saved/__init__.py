"""How values become files, and files values."""
