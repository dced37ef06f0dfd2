"""Steps whose return is not known yet: delay lines of all copies, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias, final

import torch
from torch import Tensor

from memrl.losses.n_step import n_step_returns

Kept: TypeAlias = dict[str, Tensor]


class Block(NamedTuple):
    """T steps of B copies."""

    kept: Kept  # each [T, B, ...]  what is wanted back when the return is known
    value: Tensor  # [T, B]  max_a Q of the observation that the step began with
    reward: Tensor  # [T, B]  where an episode was cut off, γ V(final observation) is in it
    ended: Tensor  # bool [T, B]
    valid: Tensor  # bool [T, B]  False: no step at all


class Known(NamedTuple):
    """Steps in the order in which they happened."""

    kept: Kept  # each [n, ...]
    returns: Tensor  # [n]


@final
class ReturnBuffer:
    """The last steps of every copy, until their returns are known.

    Σ_{j<N} γ^j r_{t+j} + γ^N max_a Q(s_{t+N}) is known N steps later, and where the episode ends
    before that, at its end, for all of its steps at once. Without a ``horizon`` N they are known at
    the end only; room for a long episode is found by doubling.

    Args:
        horizon: N; None for Monte-Carlo returns.
        gamma: γ, discount per env step.
    """

    def __init__(self, horizon: int | None, gamma: float) -> None:
        self.horizon, self.gamma = horizon, gamma
        self._rows: dict[str, Tensor] = {}  # each [room, B, ...]
        self._length = 0

    def extend(self, block: Block) -> Known:
        """Add T steps; returns those whose return has become known."""
        self._append(block)
        length = self._length
        rows = {name: array[:length] for name, array in self._rows.items()}
        n = self.horizon if self.horizon is not None else length + 1
        ahead = n_step_returns(rows["reward"], rows["ended"], n, gamma=self.gamma)
        # The value of row t + N is there once that row is: a step later than its rewards.
        beyond = torch.zeros_like(rows["value"])
        beyond[: max(0, length - n)] = rows["value"][n:]
        late = torch.arange(length, device=beyond.device).unsqueeze(1) + n < length
        ready = rows["open"] & (~ahead.goes_on | late)
        returns = ahead.returns + self.gamma**n * torch.where(ahead.goes_on, beyond, 0.0)
        rows["open"] &= ~ready
        at = ready.nonzero(as_tuple=True)  # in order of time, then of copies
        kept = {
            name.removeprefix("kept."): array[at] for name, array in rows.items() if "." in name
        }
        return Known(kept, returns[at])

    def forget(self) -> None:
        """No return will be known of the steps that are here."""
        self._length = 0

    def _append(self, block: Block) -> None:
        new = {
            **{f"kept.{name}": array for name, array in block.kept.items()},
            **{"value": block.value, "reward": torch.where(block.valid, block.reward, 0.0)},
            **{"ended": block.ended & block.valid, "open": block.valid},
        }
        steps = len(block.reward)
        if not self._rows or self._length + steps > len(self._rows["open"]):
            self._make_room(steps, new)
        for name, array in new.items():
            self._rows[name][self._length : self._length + steps] = array
        self._length += steps

    def _make_room(self, steps: int, new: Kept) -> None:
        """Drop what lies before the first open step; where half would be full, double the room."""
        old = self._rows
        waits = old["open"][: self._length].flatten(1).any(dim=1).tolist() if old else []
        begin = waits.index(True) if True in waits else self._length
        length = self._length - begin
        room = max(2 * (length + steps), 2 * (self.horizon or 0) + steps)
        self._rows = {name: array.new_zeros(room, *array.shape[1:]) for name, array in new.items()}
        for name, rows in old.items():
            self._rows[name][:length] = rows[begin : self._length]
        self._length = length

    def state_dict(self) -> dict[str, Any]:
        """The steps that are here."""
        return {name: array[: self._length] for name, array in self._rows.items()}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Continue from ``state_dict``."""
        self._rows = {name: array.to(device).clone() for name, array in state.items()}
        self._length = len(self._rows["open"]) if self._rows else 0
