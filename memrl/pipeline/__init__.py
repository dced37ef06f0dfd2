"""The steps of a run: build, open its directory, learn, evaluate, draw, summarise."""
