"""Steps of external memories as loops over the rows of a batch, compiled by numba; one a memory."""
