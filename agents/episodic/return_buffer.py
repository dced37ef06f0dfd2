"""A buffer of the steps whose returns are not known yet, for all environments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias, final

import torch
from torch import Tensor

from memrl.losses.n_step import n_step_returns

ENTRY = "kept."  # prefix of the entries in a checkpoint

Entries: TypeAlias = dict[str, Tensor]


class Segment(NamedTuple):
    """T steps of B environments."""

    entries: Entries  # each [T, B, ...]  returned with the return once it is known
    value: Tensor  # [T, B]  max_a Q of the observation that the step began with
    reward: Tensor  # [T, B]  of a truncated episode, plus γ V(final observation)
    ended: Tensor  # bool [T, B]
    valid: Tensor  # bool [T, B]  False: not a step


class StepsWithReturns(NamedTuple):
    """Steps in time order, with their returns."""

    entries: Entries  # each [n, ...]
    returns: Tensor  # [n]


@final
class ReturnBuffer:
    """Stores the last steps of every environment until their returns are known.

    Σ_{j<N} γ^j r_{t+j} + γ^N max_a Q(s_{t+N}) is known N steps later. If the episode ends earlier,
    the returns of all its steps are known at its end. Without a ``horizon`` N, returns are known at
    the end only; the buffer doubles its size for long episodes.

    Args:
        horizon: N; None for Monte-Carlo returns.
        gamma: γ, discount per env step.
    """

    def __init__(self, horizon: int | None, gamma: float) -> None:
        self.horizon, self.gamma = horizon, gamma
        self._rows: dict[str, Tensor] = {}  # each [size, B, ...]
        self._length = 0

    def extend(self, segment: Segment) -> StepsWithReturns:
        """Add T steps; returns those whose return is now known."""
        self._append(segment)
        length = self._length
        rows = {name: array[:length] for name, array in self._rows.items()}
        n = self.horizon if self.horizon is not None else length + 1
        ahead = n_step_returns(rows["reward"], rows["ended"], n, gamma=self.gamma)
        # The value of row t + N becomes available with that row, a step after the last reward.
        bootstrap = torch.zeros_like(rows["value"])
        bootstrap[: max(0, length - n)] = rows["value"][n:]
        available = torch.arange(length, device=bootstrap.device).unsqueeze(1) + n < length
        ready = rows["open"] & (~ahead.goes_on | available)
        returns = ahead.returns + self.gamma**n * torch.where(ahead.goes_on, bootstrap, 0.0)
        rows["open"] &= ~ready
        at = ready.nonzero(as_tuple=True)  # in order of time, then of environments
        entries = {
            name.removeprefix(ENTRY): array[at]
            for name, array in rows.items()
            if name.startswith(ENTRY)
        }
        return StepsWithReturns(entries, returns[at])

    def forget(self) -> None:
        """Drop all steps: their returns will never be known."""
        self._length = 0

    def _append(self, segment: Segment) -> None:
        new = {
            **{f"{ENTRY}{name}": array for name, array in segment.entries.items()},
            "value": segment.value,
            "reward": torch.where(segment.valid, segment.reward, 0.0),
            "ended": segment.ended & segment.valid,
            "open": segment.valid,  # True: the return is not known yet
        }
        steps = len(segment.reward)
        if not self._rows or self._length + steps > len(self._rows["open"]):
            self._enlarge(steps, new)
        for name, array in new.items():
            self._rows[name][self._length : self._length + steps] = array
        self._length += steps

    def _enlarge(self, steps: int, new: Entries) -> None:
        """Drop the rows before the first open step, and double the size if it is half full."""
        old = self._rows
        any_open = old["open"][: self._length].flatten(1).any(dim=1).tolist() if old else []
        begin = any_open.index(True) if True in any_open else self._length
        length = self._length - begin
        size = max(2 * (length + steps), 2 * (self.horizon or 0) + steps)
        self._rows = {name: array.new_zeros(size, *array.shape[1:]) for name, array in new.items()}
        for name, rows in old.items():
            self._rows[name][:length] = rows[begin : self._length]
        self._length = length

    def state_dict(self) -> dict[str, Any]:
        """The stored steps and the buffer's size.

        The size decides when rows are dropped, and their number is N of Monte-Carlo returns: with
        another size the sums would have another order, and other last digits.
        """
        size = len(self._rows["open"]) if self._rows else 0
        return {"size": size, **{name: array[: self._length] for name, array in self._rows.items()}}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Continue from ``state_dict``."""
        saved = {name: array for name, array in state.items() if name != "size"}
        self._length = len(saved["open"]) if saved else 0
        self._rows = {}
        for name, array in saved.items():
            self._rows[name] = torch.zeros(
                state["size"], *array.shape[1:], dtype=array.dtype, device=device
            )
            self._rows[name][: self._length] = array
