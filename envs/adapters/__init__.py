"""Adapters: Gymnasium environments as tensors, tensor environments for Gymnasium and SB3."""
