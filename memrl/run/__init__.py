"""A run on disk and in time: the protocol of what learns, directory, loop, signals, progress."""
