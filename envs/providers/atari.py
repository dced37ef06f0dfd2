"""Atari games of ale-py, its banner silenced.

``ALE/Pong-v5`` is one game a copy; with ``vectorization=vector_entry_point`` the package's own
vector environment plays all copies in C++ (four grey frames of 84 × 84, reset in the next step).
"""

from __future__ import annotations

import ale_py
import gymnasium


def register(id: str) -> None:
    """Register the games, unless importing the package has done so."""
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    if id not in gymnasium.registry:
        gymnasium.register_envs(ale_py)
