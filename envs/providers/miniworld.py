"""MiniWorld's three-dimensional rooms, drawn without a display (its memory task is Sign)."""

from __future__ import annotations

import importlib

import pyglet


def register(id: str) -> None:
    """Import the package, which registers its ids.

    pyglet opens a display unless it is told before the import that there is none; drawing without
    one needs the system library libEGL.
    """
    pyglet.options["headless"] = True
    importlib.import_module("miniworld")
