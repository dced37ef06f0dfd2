"""Memory Gym: Mystery Path, Mortar Mayhem and Searing Spotlights, without a window or sound."""

from __future__ import annotations

import importlib
import os

QUIET = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy", "PYGAME_HIDE_SUPPORT_PROMPT": "1"}


def register(id: str) -> None:
    """Import the package, which registers its ids.

    The package renders with SDL, which opens a screen and a sound card unless environment variables
    disable both before the first import. Variables that the user has set are kept.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    importlib.import_module("memory_gym")
