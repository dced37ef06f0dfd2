"""Encoders, action heads, initialisation and running normalisation."""

from memrl.nn.encoder import Encoder

__all__ = ["Encoder"]
