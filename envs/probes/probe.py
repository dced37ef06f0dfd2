"""What the probes share: their place in the catalogue, and episodes of one length."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from memrl.envs.catalogue import EnvCard, Levels, Need, describe_space
from memrl.envs.episodes import Episodes, Outcome, State
from memrl.envs.setups import Setups


class Probe(Episodes, ABC):
    """A tiny task whose levels have a closed form."""

    need: ClassVar[Need] = "strict"
    # What is done at one step may be chosen for what it says at the next: an agent that is shown
    # its previous action can write there what it saw, and needs less memory, or none.
    free_actions: ClassVar[bool] = False

    @property
    @abstractmethod
    def levels(self) -> Levels:
        """What is reached by the best, the forgetful and the blind, under these options."""

    @property
    def action_names(self) -> tuple[str, ...]:
        """What the actions do, where that is not plain."""
        return ()

    @property
    def symbol_names(self) -> tuple[str, ...]:
        """What the symbols of the observation stand for, where it is one symbol."""
        return ()

    def _integers(self, high: int, *size: int, dtype: torch.dtype = torch.int64) -> Tensor:
        """Uniform on 0 … high - 1."""
        return torch.randint(high, size, generator=self.generator, dtype=dtype, device=self.device)


def describe(probe: type[Probe], *, prev_action: bool = False, **options: Any) -> EnvCard:
    """The card of a probe under the options of `make`."""
    task = probe(1, **options)
    levels, need = task.levels, probe.need
    card = EnvCard(
        describe_space(task.observation_space), need, levels, task.action_names, task.symbol_names
    )
    if prev_action and probe.free_actions:
        card = card._replace(memory=None, levels=levels._replace(memoryless=None))
    return card


class ProbeResult(NamedTuple):
    """What an action did to B copies of a probe."""

    state: State
    reward: Tensor  # float32 [B]
    success: Tensor  # bool [B]; counts in the last step of an episode


class FixedLengthProbe(Probe, ABC):
    """B copies of a probe whose episodes all last ``length`` env steps.

    Args:
        num_envs: B.
        length: env steps in an episode, at least 1.
        device: where everything lives; random numbers too.
    """

    metric_names = ("success",)
    ends_by_time: ClassVar[bool] = False  # the last step truncates instead of terminating

    def __init__(self, num_envs: int, *, length: int, device: torch.device | str = "cpu") -> None:
        if length < 1:
            raise ValueError(f"an episode of {length} steps is too short; allowed: at least 1")
        super().__init__(num_envs, min_length=length, device=device)
        self.length = length

    @abstractmethod
    def _result(self, setups: Setups, state: State, action: Tensor) -> ProbeResult:
        """What an action does; ``state["t"]`` counts the steps before it."""

    def _step(self, setups: Setups, state: State, action: Tensor) -> Outcome:
        state, reward, success = self._result(setups, state, action)
        ended = state["t"] == self.length - 1
        never = torch.zeros_like(ended)
        ends = (never, ended) if self.ends_by_time else (ended, never)
        return Outcome(state, reward, *ends, {"success": success.float()})
