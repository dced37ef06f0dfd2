"""Small tasks that test one ability of an agent each, within seconds."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from memrl.envs.catalogue import EnvCard, Levels
from memrl.envs.probes import probe
from memrl.envs.probes.bandit import Bandit
from memrl.envs.probes.barcode_bandit import BarcodeBandit
from memrl.envs.probes.color_cubes import ColorCubes
from memrl.envs.probes.counting import Counting
from memrl.envs.probes.dark_room import DarkKeyToDoor, DarkRoom
from memrl.envs.probes.delayed_match import DelayedMatch
from memrl.envs.probes.endless_tmaze import EndlessTMaze
from memrl.envs.probes.goal import Goal
from memrl.envs.probes.key_value import KeyValue
from memrl.envs.probes.masked import Masked
from memrl.envs.probes.n_back import NBack
from memrl.envs.probes.one_step import OneStep
from memrl.envs.probes.passive_tmaze import PassiveTMaze
from memrl.envs.probes.pixels import Pixels
from memrl.envs.probes.recall import Recall
from memrl.envs.probes.tmaze import TMaze

__all__ = [
    "PROBES",
    "Bandit",
    "BarcodeBandit",
    "ColorCubes",
    "Counting",
    "DarkKeyToDoor",
    "DarkRoom",
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
    "trial_levels",
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
    | Bandit
    | BarcodeBandit
    | DarkRoom
    | DarkKeyToDoor
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
    "probe/Bandit-v0": Bandit,
    "probe/BarcodeBandit-v0": BarcodeBandit,
    "probe/DarkRoom-v0": DarkRoom,
    "probe/DarkKeyToDoor-v0": DarkKeyToDoor,
}


def probe_card(id: str, **options: Any) -> EnvCard:
    """The card of an id of ``PROBES``, with exact levels for the given options."""
    return probe.describe(PROBES[id], **options)


def trial_levels(id: str, trial: int, **options: Any) -> Levels | None:
    """Levels of the return of a trial of an id of ``PROBES``; None where nothing is known."""
    options = {name: value for name, value in options.items() if name != "prev_action"}
    return probe.trial_levels(PROBES[id], trial, **options)
