"""Planning from memory: value iteration in a graph of observed transitions."""
