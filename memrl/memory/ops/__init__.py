"""Pure functions that several memories share; every tensor leads with the batch axis."""
