"""Encoders, action heads, initialisation and running normalisation."""
