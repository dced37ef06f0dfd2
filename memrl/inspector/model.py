"""What a page shows: runs, their episodes, and the panels that are drawn of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from numpy.typing import NDArray

from memrl.inspector.tiles import TileSheet
from memrl.probing.report import Report

Kind: TypeAlias = Literal["picture", "bars", "line", "map", "matrix", "graph", "sources"]


class Episode(NamedTuple):
    """An episode of T steps. Entry t belongs to the observation from which action t was chosen."""

    arrays: dict[str, NDArray[Any]]  # [T, ...]: rewards, values, probabilities, the memory …
    pictures: dict[str, NDArray[Any]]  # numbers of tiles, uint16 [T, rows, columns]
    words: dict[str, list[str]]  # T each: the action, and the parts of observations that are words
    cue_step: int | None  # first step whose observation showed the cue; None if none did
    success: bool | None  # None where the task has no success, or another number than 0 and 1
    ended: bool  # False: it was cut off
    length: int  # T
    sources_method: str = ""  # how arrays["sources"] [T, T] was computed; empty without them
    cue: int | None = None  # which cue it has, where the environment tells

    @property
    def returned(self) -> float:
        """The undiscounted sum of rewards."""
        return float(self.arrays["reward"].sum())


class Panel(NamedTuple):
    """One panel of the page.

    A "line" shows [T], "bars" show [T, N], a "map" shows [T, N] or [T, R, N] over all steps, a
    "matrix" and a "graph" show [T, N, W] at one step, "sources" shows [T, T].
    """

    kind: Kind
    array: str  # its key in ``Episode.arrays`` or ``pictures``
    title: str
    group: str  # the heading under which it stands
    low: float = 0.0  # of the colours or the axis, over all episodes of the run
    high: float = 1.0
    rows: str = ""  # what the N entries are, such as "slot"
    names: Sequence[str] = ()  # of the N entries, where they have names
    order: Sequence[int] = ()  # the entries from top to bottom; empty: as they are
    by_cue: Sequence[int] = ()  # another order: the cue explains most of the first; or empty
    of_cue: Sequence[float] = ()  # how much it explains of each entry, η²
    chance: float = 0.0  # the most η² to expect of one that has nothing to do with the cue
    note: str = ""  # beside the title, such as how it was computed


class RunPage(NamedTuple):
    """The part of a page that shows one run."""

    title: str  # its memory and its task
    facts: Mapping[str, str]  # shown beside it: path, checkpoint, seed …
    episodes: Sequence[Episode]
    panels: Sequence[Panel]
    sheets: Mapping[str, TileSheet]  # of the pictures, by their key
    env_steps: int = 0  # at which its checkpoint was saved
    experiments: Report | None = None  # what ``memrl probe`` found
