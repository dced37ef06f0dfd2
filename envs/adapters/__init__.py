"""Gymnasium environments as batches of tensors, and tensor environments for Gymnasium and SB3."""
