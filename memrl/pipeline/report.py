"""The outputs of ``memrl train`` for the user: sentences, titles, the GIF of an episode."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gymnasium import spaces
from numpy.typing import NDArray

from memrl.config.models import Config
from memrl.envs.description import action_in_words, entry_in_words, mission_of
from memrl.evaluation.evaluate import Evaluation
from memrl.evaluation.recording import Recording
from memrl.pipeline.env_card import card_of
from memrl.plots.episode import draw_episode


def titled(config: Config, *, ablate: str | None = None) -> str:
    """The title of a run's pictures: its memory, the ablated part of it, its task."""
    ablated = {"state": ", without its state", "reads": ", reads silenced"}
    return f"{config.learner_name} on {config.env.id}{ablated[ablate] if ablate else ''}"


def film(
    config: Config, recording: Recording, space: spaces.Dict, path: Path, *, title: str
) -> None:
    """Draw an episode of a run as GIF; ``space`` is the observation space.

    Raises:
        RunError: the disk is full.
    """
    card = card_of(config)

    def observed(obs: Mapping[str, NDArray[Any]]) -> dict[str, str]:
        return {key: entry_in_words(key, obs, space, card) for key in space}

    draw_episode(
        recording,
        path,
        title=title,
        mission=mission_of(recording.observations[0], space, card),
        observed=observed,
        done=lambda action: action_in_words(action, card),
    )


def described(evaluation: Evaluation) -> str:
    """One line: success, return and length with their 95 % intervals."""
    parts = [f"{evaluation.episodes:,} episodes:"]
    for name, estimate in (
        ("success", evaluation.success),
        ("cue seen", evaluation.cue_seen),
        ("return", evaluation.return_),
        ("length", evaluation.length),
    ):
        if estimate is not None:
            parts.append(f"{name} {estimate}")
    return "  ".join(parts)
