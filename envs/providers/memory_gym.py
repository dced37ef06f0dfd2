"""Memory Gym: Mystery Path, Mortar Mayhem and Searing Spotlights, without window and sound."""

from __future__ import annotations

import importlib
import os

QUIET = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy", "PYGAME_HIDE_SUPPORT_PROMPT": "1"}


def register(id: str) -> None:
    """Import the package, which registers its ids.

    Its pictures are drawn by SDL, which looks for a screen and a sound card unless told otherwise
    before the first import; a user's own setting is left alone.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    importlib.import_module("memory_gym")
