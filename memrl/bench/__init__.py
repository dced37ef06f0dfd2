"""Benchmarks beside other packages."""
