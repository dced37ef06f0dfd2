"""Training by several processes, the ranks: what they sum, average and share."""
