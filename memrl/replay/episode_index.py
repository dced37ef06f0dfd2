"""First and last step of the episode of each stored step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, final

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from memrl.replay.ring import Ring

_OPEN: Final = -1  # the end of an episode that has not ended


class Spans(NamedTuple):
    """The episodes of some steps."""

    begin: Tensor  # int64 [L, M]  the time of the first step
    end: Tensor  # int64 [L, M]  the time of the last step; undefined if not whole
    whole: Tensor  # bool [L, M]  it has ended, and none of its steps was overwritten


@final
class EpisodeIndex:
    """The episodes of the last ``span`` steps of every environment.

    Each step stores the time of its episode's first step. The slot of that first step stores the
    time of the last one, so that the end of an episode is a single write.
    """

    def __init__(self, span: int, num_envs: int, device: torch.device) -> None:
        row = torch.zeros(1, num_envs, dtype=torch.int64, device=device)
        self._ring = Ring(span, {"begin": row, "end": row})
        self._begin = row[0]
        self._rows = torch.arange(num_envs, device=device)

    def add(self, start: Bool[Tensor, " B"], ended: Bool[Tensor, " B"]) -> None:
        """Add one step: whether it opens an episode, and whether it ends one."""
        now, span = self._ring.added, self._ring.capacity
        self._begin = torch.where(start, now, self._begin)
        still_open = torch.full_like(self._begin, _OPEN)
        self._ring.add({"begin": self._begin.unsqueeze(0), "end": still_open.unsqueeze(0)})
        ends = self._ring.arrays["end"]
        # If the episode is longer than the ring, this is the slot of a later step.
        place = self._begin % span
        ends[place, self._rows] = torch.where(ended, now, ends[place, self._rows])

    def spans(self, time: Int64[Tensor, "L M"], env: Int64[Tensor, " M"]) -> Spans:
        """The episodes of stored steps, given by the time of their addition and environment."""
        now, span = self._ring.added, self._ring.capacity
        begin = self._ring.arrays["begin"][time % span, env]
        end = self._ring.arrays["end"][begin % span, env]
        return Spans(begin, end, (begin >= now - span) & (end != _OPEN))

    def state_dict(self) -> dict[str, Any]:
        """All that is stored."""
        return {"ring": self._ring.state_dict(), "begin": self._begin}

    def check(self, state: Mapping[str, Any]) -> None:
        """Raise ValueError if ``load_state_dict`` would fail; nothing is changed."""
        self._ring.check(state["ring"])

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``; raises as ``check``."""
        self._ring.load_state_dict(state["ring"])
        self._begin = state["begin"].to(self._begin)
