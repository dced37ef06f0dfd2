"""memrl bench: speed, side by side with what a user could install instead."""

from __future__ import annotations
