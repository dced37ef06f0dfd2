"""Steps of memories as loops over the rows of a batch, compiled by numba; one file a memory."""
