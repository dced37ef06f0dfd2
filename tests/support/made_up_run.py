"""A run of made-up episodes that has every kind of panel, and words that want to be markup."""

from __future__ import annotations

from typing import Any

import numpy as np

from memrl.inspector.model import Episode, RunPage
from memrl.inspector.panels import choose_panels
from memrl.inspector.tiles import Tiler

LENGTHS = (17, 11, 23, 5, 13)
OUTCOMES = (True, False, None, True, False)
EVIL = "<img src=x onerror=alert(1)>"
ACTIONS = ("left", "right", "forward")


def made_up_run(
    title: str = "dnc on made-up/Task-v0", seed: int = 3, *, cues: bool = False
) -> RunPage:
    """Five episodes, as ``LENGTHS`` and ``OUTCOMES`` say; units are sorted by ``cues``, too."""
    draws, tiler = np.random.default_rng(seed), Tiler()
    episodes = [_episode(draws, tiler, *facts) for facts in zip(LENGTHS, OUTCOMES, strict=True)]
    known = [each._replace(cue=i % 2) for i, each in enumerate(2 * episodes)]  # enough for a share
    panels = choose_panels(known if cues else episodes, actions=ACTIONS)
    return RunPage(title, {"run": EVIL}, episodes, panels, {"frame": tiler.sheet()})


def _episode(
    draws: np.random.Generator, tiler: Tiler, length: int, outcome: bool | None
) -> Episode:
    sources = np.tril(draws.random((length, length)))
    reward = np.zeros(length)
    reward[-1] = bool(outcome) * (1 - length / 100)
    actions = draws.integers(0, len(ACTIONS), length)
    arrays: dict[str, Any] = {
        "probabilities": draws.dirichlet(np.ones(3), length),
        "value": draws.random(length),
        "reward": reward,
        "surprise": np.append(draws.normal(size=length - 1), np.nan),
        "read_weights": draws.dirichlet(np.full(7, 0.3), (length, 2)),
        "usage": draws.random((length, 7)),
        "allocation_weights": draws.dirichlet(np.full(7, 0.2), length),
        "allocation_gate": draws.random((length, 1)),
        "write_gate": draws.random((length, 1)),
        "hidden": draws.normal(size=(length, 37)),
        "memory": draws.normal(size=(length, 7, 5)),
        "link": draws.dirichlet(np.full(7, 0.1), (length, 7)),
        "sources": sources / sources.sum(axis=1, keepdims=True),
    }
    cells = draws.integers(0, 2, (length, 3, 4, 3), dtype=np.uint8) * np.uint8(255)
    frames = cells.repeat(16, axis=1).repeat(16, axis=2)
    return Episode(
        arrays=arrays,
        pictures={"frame": np.stack([tiler.cut(frame) for frame in frames])},
        words={
            "mission": [EVIL] * length,
            "action": [ACTIONS[action] for action in actions],
        },
        cue_step=2,
        success=outcome,
        ended=True,
        length=length,
        sources_method="made up",
    )
