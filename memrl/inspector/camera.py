"""The pictures of recorded episodes, as numbers of tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from memrl.evaluation.recording import Picture
from memrl.inspector.tiles import Tiler, TileSheet
from memrl.rollout.env import BatchedEnv, Obs

FRAME: Final = "frame"  # what the environment draws
VIEW: Final = "view"  # what the agent sees


@final
class Camera:
    """Takes the pictures of an episode's steps.

    Args:
        env: draws frames, where it can.
        view: draws what the agent sees, from a batch of one observation; None leaves views out.
    """

    def __init__(self, env: BatchedEnv, view: Callable[[Obs], Picture | None] | None) -> None:
        self._env, self._view = env, view
        self._tilers: dict[str, Tiler] = {}
        self._views: dict[bytes, NDArray[np.uint16]] = {}  # drawn before, by what was observed

    def take(self, obs: Obs, index: int) -> dict[str, NDArray[np.uint16]]:
        """The pictures of one environment before it acts."""
        taken = {}
        frame = self._env.render(index)
        if frame is not None:
            taken[FRAME] = self._cut(FRAME, frame)
        if self._view is not None and (seen := self._seen(obs, index)) is not None:
            taken[VIEW] = seen
        return taken

    def sheets(self) -> dict[str, TileSheet]:
        """The tiles of all pictures so far."""
        return {name: tiler.sheet() for name, tiler in self._tilers.items()}

    def _seen(self, obs: Obs, index: int) -> NDArray[np.uint16] | None:
        assert self._view is not None
        one = {name: value[index : index + 1] for name, value in obs.items()}
        key = one["image"].cpu().numpy().tobytes() if "image" in one else b""
        if key not in self._views:
            picture = self._view(one)
            if picture is None:
                return None
            self._views[key] = self._cut(VIEW, picture)
        return self._views[key]

    def _cut(self, name: str, picture: Any) -> NDArray[np.uint16]:
        return self._tilers.setdefault(name, Tiler()).cut(np.asarray(picture, dtype=np.uint8))
