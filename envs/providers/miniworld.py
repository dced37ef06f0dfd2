"""MiniWorld's three-dimensional rooms, rendered without a display; its memory task is Sign."""

from __future__ import annotations

import importlib

import pyglet


def register(id: str) -> None:
    """Import the package, which registers its ids.

    pyglet opens a display unless its option ``headless`` is set before the import. Rendering
    without a display needs the system library libEGL.
    """
    pyglet.options["headless"] = True
    importlib.import_module("miniworld")
