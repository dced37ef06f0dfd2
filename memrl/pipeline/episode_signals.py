"""What an agent observed and did in a recorded episode, with the names that its task knows."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from memrl.envs.catalogue import EnvCard
from memrl.envs.description import action_text, entry_text
from memrl.evaluation.recording import Recording
from memrl.plots.signals import Signal
from memrl.rollout.tokens import Tokens

_TOLD_TWICE: Final = ("prev_action", "prev_reward")  # the rows of actions and rewards show them
_MOST: Final = 10  # values of a symbol that get a row each; more are drawn as a number


def observed_signals(
    recording: Recording, space: spaces.Dict, card: EnvCard, *, last: bool = False
) -> list[Signal]:
    """A signal for each entry of the observation that is no picture, text or repetition.

    With ``last`` the observation after the last action follows the T of the steps.
    """
    observations = [*recording.observations, *([recording.last_observation] if last else [])]
    signals = []
    for key, part in space.items():
        if key in _TOLD_TWICE or isinstance(part, Tokens) or len(part.shape or ()) >= 3:
            continue
        name = "observation" if key == "obs" else key.replace("_", " ")
        values = np.stack([obs[key] for obs in observations])
        if isinstance(part, spaces.Discrete):
            words = {
                int(obs[key]): _name(entry_text(key, obs, space, card)) for obs in observations
            }
            signals.append(_chosen(name, values.astype(int), words))
        else:
            flat = values.reshape(len(values), -1).astype(np.float64)
            signals.append(Signal(name, flat, (), chosen=False))
    return signals


def done_signal(recording: Recording, card: EnvCard) -> Signal:
    """What the agent did; actions that have names are called by them."""
    actions = recording.actions
    if actions.ndim == 1 and actions.dtype.kind in "iu":
        words = {int(action): action_text(action, card) for action in actions}
        return _chosen("action", actions.astype(int), words)
    flat = actions.reshape(len(actions), -1).astype(np.float64)
    return Signal("action", flat, (), chosen=False)


def vectors(signals: list[Signal]) -> list[Signal]:
    """Those that are several numbers: words would show them badly."""
    return [signal for signal in signals if not signal.chosen and signal.values.shape[1] > 1]


def _chosen(name: str, values: NDArray[Any], words: dict[int, str]) -> Signal:
    """A row for each value that occurs, in their order; a number where they are many."""
    known = sorted(words)
    if len(known) > _MOST:
        return Signal(name, values[:, None].astype(np.float64), (), chosen=False)
    filled = (values[:, None] == np.array(known)).astype(np.float64)
    return Signal(name, filled, tuple(words[value] for value in known), chosen=True)


def _name(said: str) -> str:
    """``3 left`` without its number, where a name follows it."""
    number, _, name = said.partition(" ")
    return number if name.startswith("(") else name
