"""Small tasks that test one ability of an agent each, within seconds."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from memrl.envs.catalogue import EnvCard
from memrl.envs.probes.color_cubes import ColorCubes
from memrl.envs.probes.counting import Counting
from memrl.envs.probes.delayed_match import DelayedMatch
from memrl.envs.probes.endless_tmaze import EndlessTMaze
from memrl.envs.probes.goal import Goal
from memrl.envs.probes.key_value import KeyValue
from memrl.envs.probes.masked import Masked
from memrl.envs.probes.n_back import NBack
from memrl.envs.probes.one_step import OneStep
from memrl.envs.probes.passive_tmaze import PassiveTMaze
from memrl.envs.probes.pixels import Pixels
from memrl.envs.probes.probe import describe
from memrl.envs.probes.recall import Recall
from memrl.envs.probes.tmaze import TMaze

__all__ = [
    "PROBES",
    "ColorCubes",
    "Counting",
    "DelayedMatch",
    "EndlessTMaze",
    "Goal",
    "KeyValue",
    "Masked",
    "NBack",
    "OneStep",
    "PassiveTMaze",
    "Pixels",
    "Recall",
    "TMaze",
    "probe_card",
]

AnyProbe: TypeAlias = (
    Recall
    | TMaze
    | PassiveTMaze
    | EndlessTMaze
    | DelayedMatch
    | KeyValue
    | NBack
    | Counting
    | ColorCubes
    | Pixels
    | Masked
    | OneStep
    | Goal
)

PROBES: Final[dict[str, type[AnyProbe]]] = {
    "probe/Recall-v0": Recall,
    "probe/TMaze-v0": TMaze,
    "probe/PassiveTMaze-v0": PassiveTMaze,
    "probe/EndlessTMaze-v0": EndlessTMaze,
    "probe/DelayedMatch-v0": DelayedMatch,
    "probe/KeyValue-v0": KeyValue,
    "probe/NBack-v0": NBack,
    "probe/Counting-v0": Counting,
    "probe/ColorCubes-v0": ColorCubes,
    "probe/Pixels-v0": Pixels,
    "probe/Masked-v0": Masked,
    "probe/OneStep-v0": OneStep,
    "probe/Goal-v0": Goal,
}


def probe_card(id: str, **options: Any) -> EnvCard:
    """The card of an id of ``PROBES``, with exact levels for the given options."""
    return describe(PROBES[id], **options)
