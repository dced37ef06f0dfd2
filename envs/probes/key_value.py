"""KeyValue: pairs are shown one by one, then their values are asked for by key."""

from __future__ import annotations

from typing import final

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.catalogue import Levels
from memrl.envs.episodic_env import Outcome, State
from memrl.envs.probes.probe import Probe
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs


@final
class KeyValue(Probe):
    """Name the value that was shown with a key: associative recall as an RL task.

    It asks what MQAR (Arora et al. 2023) asks of sequence models. Each of the first ``pairs``
    observations is a key and its value; keys differ within an episode. Then every key is shown once
    more, in another order, with ``values`` in the place of its value, and the action is the answer.
    A right answer pays 1 / pairs, so that the return is the fraction of right answers; earlier
    actions have no effect. Without a memory it is 1 / values.

    Args:
        num_envs: B.
        pairs: K, at least 1.
        values: number of different values, at least 2.
        keys: number of different keys, at least ``pairs``; 0 means ``pairs``.
        device: of all tensors.

    Raises:
        ValueError: an option is out of range.
    """

    free_actions = True

    def __init__(
        self,
        num_envs: int,
        *,
        pairs: int = 4,
        values: int = 4,
        keys: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        if pairs < 1 or values < 2 or 0 < keys < pairs or keys < 0:
            raise ValueError(
                f"pairs is {pairs}, values is {values} and keys is {keys}, allowed: at least 1 "
                "pair, 2 values, and keys of 0 or at least pairs"
            )
        super().__init__(num_envs, min_length=2 * pairs, device=device)
        self.pairs, self.values, self.keys = pairs, values, keys or pairs
        self.observation_space = spaces.Dict({"obs": spaces.MultiDiscrete([self.keys, values + 1])})
        self.action_space = spaces.Discrete(values)

    @property
    def levels(self) -> Levels:
        guess = 1 / self.values
        return Levels("return", optimum=1.0, memoryless=guess, guess=guess)

    def _draw(self, num: int) -> Tensors:
        key = self._orders(num, self.keys)[:, : self.pairs]
        value = self._integers(self.values, num, self.pairs)
        asked = self._orders(num, self.pairs)
        return {
            "key": torch.cat([key, key.gather(1, asked)], dim=1),
            "value": torch.cat([value, value.gather(1, asked)], dim=1),
        }

    def _orders(self, num: int, size: int) -> Tensor:
        """Random orders of 0 … size - 1, [num, size]."""
        draws = torch.rand(num, size, generator=self.generator, device=self.device)
        return draws.argsort(dim=1)

    def _initial_state(self, setups: Setups) -> State:
        return {}

    def _observe(self, setups: Setups, state: State) -> Obs:
        t = state["t"].clamp(max=2 * self.pairs - 1)  # after the end: the last question again
        shown = torch.where(t < self.pairs, setups.at("value", t), self.values)
        return {"obs": torch.stack([setups.at("key", t), shown], dim=1)}

    def _step(self, setups: Setups, state: State, action: Tensor) -> Outcome:
        t = state["t"]
        right = (action == setups.at("value", t)) & (t >= self.pairs)
        ended = t == 2 * self.pairs - 1
        return Outcome(state, right / self.pairs, ended, self._flags(False), {})
