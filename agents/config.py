"""The options that all agents share; those of one agent are in its folder's config.py."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Le
from pydantic import Field, model_validator

from memrl.options import Strict, need_reader

Share = Annotated[float, Ge(0.0), Le(1.0)]
NonNegative = Annotated[float, Ge(0.0)]
Positive = Annotated[float, Gt(0.0)]
Count = Annotated[int, Ge(1)]


class AgentConfig(Strict):
    """The options of an agent: one field for each key of ``agent``, all with defaults.

    ``kind`` is the word by which the agent was chosen; an agent of your own leaves it a ``str``,
    since ``module:Name`` and the name that a package gives it are both such words.
    """

    any_memory: ClassVar[bool] = True  # whether it learns with any memory, or with none only
    data_parallel: ClassVar[bool] = False  # whether several processes can train it together

    kind: str

    def schedules(self, progress: float) -> dict[str, float]:
        """Options that change during a run, with their values at a share 0 … 1 of total_steps."""
        return {}

    def rows(self, num_envs: int) -> int:
        """The sequences that pass the memory at once when it learns: what threads divide."""
        return num_envs

    def idle(self, total_steps: int, num_envs: int) -> str | None:
        """The options by which nothing is learned in ``total_steps``, as words; None if some is."""
        return None


class EarlierRunsConfig(Strict):
    """What an agent takes from earlier runs; without any, no other option is read."""

    runs: Annotated[tuple[str, ...], Field(strict=False)] = ()  # their directories

    KEY: ClassVar[str]

    def unread(self) -> set[str]:
        return set() if self.runs else {*type(self).model_fields} - {"runs"}

    @model_validator(mode="after")
    def _what_is_set_is_read(self) -> EarlierRunsConfig:
        read_by = dict.fromkeys(sorted(self.unread()), ("a list of runs",))
        need_reader(self, "[]", self.KEY, read_by, chooser="runs")
        return self


def interpolate(begin: float, end: float | None, progress: float) -> float:
    """The value at a share of the way from ``begin`` to ``end``; None: it is constant."""
    return begin if end is None else begin + (end - begin) * min(1.0, progress)


def whole_iterations(total_steps: int, size: int) -> int:
    """The env steps after which a run of ``total_steps`` ends: whole iterations of ``size``."""
    return math.ceil(total_steps / size) * size
