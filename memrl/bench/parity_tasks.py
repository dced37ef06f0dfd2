"""The tasks of ``memrl bench parity``: sizes, and the peers that learn them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

RECURRENT: Final = "MlpLstmPolicy"  # MemoryPPO with RecurrentPPO's networks


class ParityTask(NamedTuple):
    """One row of the table."""

    total_steps: int
    num: int
    options: Mapping[str, Any]  # SB3's, the same for every learner; others have their defaults
    peer: str | None = None  # of every memory; None: PPO for none, RecurrentPPO for others


# SB3's own test of whether PPO learns.
_IDENTITY: Final = {"gamma": 0.1, "n_epochs": 2, "n_steps": 2048, "batch_size": 64}
# RecurrentPPO's defaults.
_DEFAULTS: Final = {"n_epochs": 10, "n_steps": 128, "batch_size": 128}

TASKS: Final[Mapping[str, ParityTask]] = {
    "Identity15": ParityTask(12_288, 1, _IDENTITY),
    "IdentityMultiDiscrete": ParityTask(12_288, 1, _IDENTITY),
    "IdentityMultiBinary": ParityTask(12_288, 1, _IDENTITY),
    "InvalidAction15": ParityTask(12_288, 1, _IDENTITY, "MaskablePPO"),
    "CartPole-v1": ParityTask(49_152, 8, _DEFAULTS),
    "Acrobot-v1": ParityTask(49_152, 8, _DEFAULTS),
    "PositionOnlyCartPole": ParityTask(49_152, 8, _DEFAULTS),
    "Pendulum-v1": ParityTask(98_304, 8, _DEFAULTS),
    "MiniGrid-MemoryS7-v0": ParityTask(98_304, 8, _DEFAULTS),
}


def peer_of(task: ParityTask, memory: str) -> str:
    """The class that learns what a memory is compared with."""
    return task.peer or ("PPO" if memory == "none" else "RecurrentPPO")
