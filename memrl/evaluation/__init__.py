"""Fresh episodes, recordings, statistics, and the comparison of runs."""
