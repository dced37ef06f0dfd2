"""What is kept of episodes while they run: numbers of all at once, the rest row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from memrl.inspector.camera import FRAME, VIEW
from memrl.inspector.model import Episode
from memrl.rollout.env import Transition

_FINE: Final = 1024  # numbers of a step; of more, each is kept in half precision


@final
class Numbers:
    """Numbers of all environments, step by step."""

    def __init__(self) -> None:
        self._kept: dict[str, list[NDArray[Any]]] = {}

    def add(self, values: Mapping[str, Tensor], reward: Tensor) -> None:
        """Keep a step: each [B, ...]."""
        for name, value in {**values, "reward": reward}.items():
            kept = _single(value)
            self._kept.setdefault(name, []).append(
                kept.astype(np.float16) if kept[0].size > _FINE else kept
            )

    def stacked(self) -> dict[str, NDArray[Any]]:
        """Each [T, B, ...]."""
        return {name: np.stack(values) for name, values in self._kept.items()}


@final
class Running:
    """The episode of one environment while it runs.

    Args:
        cue: which cue it has; None where the environment does not tell.

    Attributes:
        over: whether it has ended.
    """

    def __init__(self, cue: int | None) -> None:
        self.over = False
        self._cue = cue
        self._pictures: list[dict[str, NDArray[np.uint16]]] = []
        self._words: list[dict[str, str]] = []
        self._cue_step: int | None = None
        self._success: bool | None = None
        self._terminated = False

    def add(
        self,
        pictures: dict[str, NDArray[np.uint16]],
        words: dict[str, str],
        step: Transition,
        index: int,
        *,
        shows_cue: bool | None,
    ) -> None:
        """Keep a step; ``shows_cue`` speaks of the observation before it, None if that is unknown.

        Then ``metrics["cue_seen"]`` may tell it, of the observation that the step led to.
        """
        if shows_cue and self._cue_step is None:
            self._cue_step = len(self._words)
        self._pictures.append(pictures)
        self._words.append(words)
        if shows_cue is None and self._cue_step is None and "cue_seen" in step.metrics:
            if float(step.metrics["cue_seen"][index]) == 1:
                self._cue_step = len(self._words)
        if bool(step.ended[index]):
            self.over, self._terminated = True, bool(step.terminated[index])
            success = float(step.metrics["success"][index]) if "success" in step.metrics else -1.0
            self._success = bool(success) if success in (0.0, 1.0) else None

    def episode(self, kept: Mapping[str, NDArray[Any]], index: int, gamma: float) -> Episode:
        """The whole of it, with its numbers among those of all episodes, [T, B, ...]."""
        length = len(self._words)
        arrays = {name: values[:length, index] for name, values in kept.items()}
        if "value" in arrays:
            arrays["surprise"] = _surprise(arrays, gamma, terminated=self._terminated)
        everywhere = set.intersection(*(set(pictures) for pictures in self._pictures))
        return Episode(
            arrays=arrays,
            pictures={
                name: np.stack([pictures[name] for pictures in self._pictures])
                for name in (FRAME, VIEW)
                if name in everywhere
            },
            words={name: [words[name] for words in self._words] for name in self._words[0]},
            cue_step=self._cue_step if (self._cue_step or 0) < length else None,
            success=self._success,
            ended=self.over,
            length=length,
            cue=self._cue,
        )


def _surprise(
    arrays: Mapping[str, NDArray[Any]], gamma: float, *, terminated: bool
) -> NDArray[np.float32]:
    value = arrays["value"].astype(np.float32)
    after = np.append(value[1:], np.float32(0.0 if terminated else np.nan))
    return np.asarray(arrays["reward"] + gamma * after - value, np.float32)


def _single(value: Tensor) -> NDArray[np.float32]:
    return np.array(value.detach().cpu().numpy(), dtype=np.float32)
