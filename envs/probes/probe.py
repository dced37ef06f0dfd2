"""Base classes of the probes: their cards, and episodes of fixed length."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from memrl.envs.catalogue import EnvCard, Levels, Need, describe_space
from memrl.envs.episodic_env import EpisodicEnv, Outcome, State
from memrl.envs.setups import Setups


class Probe(EpisodicEnv, ABC):
    """A small task with exact reference levels."""

    need: ClassVar[Need] = "strict"
    # Some actions have no effect. An agent that observes its previous action can then store
    # information in them, and needs less memory or none.
    free_actions: ClassVar[bool] = False

    @property
    @abstractmethod
    def levels(self) -> Levels:
        """Levels of optimal, memoryless and guessing policies under these options."""

    @property
    def known_task(self) -> float | None:
        """The mean return of an episode of an optimal agent that knows the task; None: not known.

        No agent earns more in an episode of a trial.
        """
        return None

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions; empty if their numbers are the answers."""
        return ()

    @property
    def symbol_names(self) -> tuple[str, ...]:
        """Names of the values of an observation of one symbol; else empty."""
        return ()

    def _integers(self, high: int, *size: int, dtype: torch.dtype = torch.int64) -> Tensor:
        """Uniform in 0 … high - 1."""
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


def trial_levels(probe: type[Probe], trial: int, **options: Any) -> Levels | None:
    """Levels of the return of a trial of ``trial`` episodes; None where nothing is known.

    The optimum knows the task from the start: no agent reaches it.
    """
    task = probe(1, **options)
    if task.known_task is None:
        return None
    guess = task.levels.guess
    return Levels("return", trial * task.known_task, guess=None if guess is None else trial * guess)


class ProbeResult(NamedTuple):
    """Results of one step of B environments of a probe."""

    state: State
    reward: Tensor  # float32 [B]
    success: Tensor  # bool [B]; read at the last step of an episode


class FixedLengthProbe(Probe, ABC):
    """B environments of a probe whose episodes all have ``length`` env steps.

    Args:
        num_envs: B.
        length: env steps in an episode, at least 1.
        device: of all tensors and random numbers.
    """

    metric_names = ("success",)
    ends_by_time: ClassVar[bool] = False  # the last step truncates instead of terminating

    def __init__(self, num_envs: int, *, length: int, device: torch.device | str = "cpu") -> None:
        if length < 1:
            raise ValueError(f"length is {length}, allowed: at least 1 env step")
        super().__init__(num_envs, min_length=length, device=device)
        self.length = length

    @abstractmethod
    def _result(self, setups: Setups, state: State, action: Tensor) -> ProbeResult:
        """The results of an action; ``state["t"]`` counts earlier steps."""

    def _step(self, setups: Setups, state: State, action: Tensor) -> Outcome:
        state, reward, success = self._result(setups, state, action)
        ended = state["t"] == self.length - 1
        never = torch.zeros_like(ended)
        ends = (never, ended) if self.ends_by_time else (ended, never)
        return Outcome(state, reward, *ends, {"success": success.float()})
