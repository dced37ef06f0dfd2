"""Large key-value stores and their nearest-neighbour search, exact or by an index."""
