"""Pure functions that memories use; tensors lead with the batch axis unless noted."""
