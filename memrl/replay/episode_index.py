"""Where each kept step's episode begins and ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, final

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from memrl.replay.ring import Ring

_OPEN: Final = -1  # the end of an episode that goes on


class Spans(NamedTuple):
    """Episodes of some steps."""

    begin: Tensor  # int64 [L, M]  the time of the first step
    end: Tensor  # int64 [L, M]  the time of the last step; arbitrary where not whole
    whole: Tensor  # bool [L, M]  it has ended, and none of its steps was overwritten


@final
class EpisodeIndex:
    """Begin and end of the episode of each of the last ``span`` steps of every copy.

    A step knows when its episode began; the place of that first step knows when it ended. So an end
    is written once, whatever the length of the episode.
    """

    def __init__(self, span: int, copies: int, device: torch.device) -> None:
        row = torch.zeros(1, copies, dtype=torch.int64, device=device)
        self._ring = Ring(span, {"begin": row, "end": row})
        self._begin = row[0]
        self._rows = torch.arange(copies, device=device)

    def add(self, start: Bool[Tensor, " B"], ended: Bool[Tensor, " B"]) -> None:
        """One more step: whether it opens an episode, and whether it ends one."""
        now, span = self._ring.added, self._ring.capacity
        self._begin = torch.where(start, now, self._begin)
        still_open = torch.full_like(self._begin, _OPEN)
        self._ring.add({"begin": self._begin.unsqueeze(0), "end": still_open.unsqueeze(0)})
        ends = self._ring.arrays["end"]
        place = self._begin % span  # of an episode longer than the ring: one of its own, not first
        ends[place, self._rows] = torch.where(ended, now, ends[place, self._rows])

    def spans(self, time: Int64[Tensor, "L M"], copy: Int64[Tensor, " M"]) -> Spans:
        """The episodes of steps that are held, by the time they were added at and their copy."""
        now, span = self._ring.added, self._ring.capacity
        begin = self._ring.arrays["begin"][time % span, copy]
        end = self._ring.arrays["end"][begin % span, copy]
        return Spans(begin, end, (begin >= now - span) & (end != _OPEN))

    def state_dict(self) -> dict[str, Any]:
        """Everything."""
        return {"ring": self._ring.state_dict(), "begin": self._begin}

    def check(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError where ``load_state_dict`` would not fit; changes nothing."""
        self._ring.check(state["ring"])

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``; raises as ``check``."""
        self._ring.load_state_dict(state["ring"])
        self._begin = state["begin"].to(self._begin)
