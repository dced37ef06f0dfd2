"""Logging of metrics: CSV, TensorBoard, W&B."""
