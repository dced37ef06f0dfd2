"""What a run shows its user: sentences, titles, the pictures of an episode."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, Final

from gymnasium import spaces
from numpy.typing import NDArray

from memrl.config.models import Config
from memrl.envs.description import action_text, entry_text, mission_of
from memrl.evaluation.evaluate import Evaluation
from memrl.evaluation.recording import Recording
from memrl.pipeline.env_card import card_of
from memrl.pipeline.episode_signals import done_signal, observed_signals, vectors
from memrl.plots.episode import draw_episode
from memrl.plots.memory import draw_memory
from memrl.rollout.tokens import Tokens

_LONGEST_FILM: Final = 1000  # env steps


def picture_title(config: Config, *, ablate: str | None = None) -> str:
    """The title of a run's pictures: its memory, the ablated part of it, its task."""
    ablated = {None: "", "state": ", without its state"}.get(ablate, f", {ablate} silenced")
    return f"{config.learner_name} on {config.env.title}{ablated}"


def film_steps(max_steps: int) -> int:
    """Env steps that are recorded of an episode if evaluations cut it off at ``max_steps``."""
    return min(max_steps, _LONGEST_FILM)


def draw_film(
    config: Config, recording: Recording, space: spaces.Dict, path: Path, *, title: str
) -> None:
    """Draw an episode of a run as GIF; ``space`` is the observation space.

    Raises:
        RunError: the disk is full.
    """
    card = card_of(config)
    bars = vectors(observed_signals(recording, space, card, last=True))
    words = [key for key, part in space.items() if _is_told(part)]

    def observed(obs: Mapping[str, NDArray[Any]]) -> dict[str, str]:
        return {key: entry_text(key, obs, space, card) for key in words}

    draw_episode(
        recording,
        path,
        title=title,
        mission=mission_of(recording.observations[0], space, card),
        observed=observed,
        vectors=bars,
        done=lambda action: action_text(action, card),
    )


def draw_episode_memory(
    config: Config, recording: Recording, space: spaces.Dict, path: Path, *, title: str
) -> None:
    """Draw an episode of a run as memory.png; ``space`` is that of its observations.

    Raises:
        RunError: the memory shows no diagnostics, or the disk is full.
    """
    card = card_of(config)
    observed, done = observed_signals(recording, space, card), done_signal(recording, card)
    draw_memory(recording, path, title=title, observed=observed, done=done)


def _is_told(part: spaces.Space[Any]) -> bool:
    """Whether words say an entry well; several numbers are bars instead."""
    return isinstance(part, spaces.Discrete | Tokens) or prod(part.shape or ()) == 1


def evaluation_line(evaluation: Evaluation) -> str:
    """One line: success, return and length with their 95 % intervals; and one for each task."""
    cut, many = evaluation.cut_off, "s" * (evaluation.episodes > 1)
    told = f" ({cut:,} cut off after evaluate.max_steps, counted up to that step)" if cut else ""
    parts = [f"{evaluation.episodes:,} episode{many}{told}:"]
    for name, estimate in (
        ("success", evaluation.success),
        ("cue seen", evaluation.cue_seen),
        ("return", evaluation.return_),
        ("first return", evaluation.first_return),
        ("last return", evaluation.last_return),
        ("length", evaluation.length),
    ):
        if estimate is not None:
            parts.append(f"{name} {estimate}")
    if evaluation.success_number is not None:
        number = evaluation.success_number
        parts.append(f"success {number:.3g} on average (not a share: values lie outside of 0 … 1)")
    lines = ["  ".join(parts)]
    for name, score in evaluation.tasks.items():
        rate = "" if score.success is None else f"success {score.success}  "
        lines.append(f"  {name}: {rate}return {score.return_}")
    return "\n".join(lines)
