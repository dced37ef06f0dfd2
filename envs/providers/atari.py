"""Atari games of ale-py, without its banner.

``ALE/Pong-v5`` makes one game per environment. With ``vectorization=vector_entry_point`` the
package's own vector environment steps all of them in C++ (four grey frames of 84 × 84, NEXT_STEP
autoreset).
"""

from __future__ import annotations

import ale_py
import gymnasium


def register(id: str) -> None:
    """Register the games, unless importing the package has already done so."""
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    if id not in gymnasium.registry:
        gymnasium.register_envs(ale_py)
