"""Metrics, and where they are logged: CSV, TensorBoard, W&B."""
