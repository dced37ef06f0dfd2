"""DarkRoom and DarkKeyToDoor: find unseen cells of a room, and again in every episode of a trial.

Both are of Laskin et al. 2022 (Algorithm Distillation, section 4.1).
"""

from __future__ import annotations

from abc import ABC
from typing import ClassVar, Final, final

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.catalogue import Levels
from memrl.envs.episodic_env import State
from memrl.envs.probes.probe import FixedLengthProbe, ProbeResult
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs

_ACTIONS: Final = ("stay", "west", "east", "north", "south")
_MOVES: Final = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))  # (x, y) of each action


class Dark(FixedLengthProbe, ABC):
    """A room of ``size`` × ``size`` cells in which an agent sees only its own cell.

    An episode starts in the middle, cell (size // 2, size // 2), and has ``length`` steps. Walls
    block moves.

    Args:
        num_envs: B.
        size: cells along a side, at least 2.
        length: env steps in an episode, at least 1.
        device: of all tensors.
    """

    goals: ClassVar[int]  # unseen cells of a task: different ones, none of them the start

    def __init__(
        self, num_envs: int, *, size: int, length: int, device: torch.device | str = "cpu"
    ) -> None:
        if size < 2:
            raise ValueError(f"size is {size}, allowed: at least 2 cells along a side")
        super().__init__(num_envs, length=length, device=device)
        self.size, self.start = size, size // 2
        self.observation_space = spaces.Dict({"obs": spaces.MultiDiscrete([size, size])})
        self.action_space = spaces.Discrete(len(_ACTIONS))
        self._moves = torch.tensor(_MOVES, device=self.device)

    @property
    def levels(self) -> Levels:
        return Levels("return")

    @property
    def action_names(self) -> tuple[str, ...]:
        return _ACTIONS

    def _cells(self) -> list[tuple[int, int]]:
        """Every cell but the start."""
        side = range(self.size)
        return [(x, y) for x in side for y in side if (x, y) != (self.start, self.start)]

    def _draw(self, num: int) -> Tensors:
        start = self.start * self.size + self.start
        scores = torch.rand((num, self.size**2), generator=self.generator, device=self.device)
        scores[:, start] = -1
        cell = scores.topk(self.goals, dim=1).indices  # [num, G]
        return {"goal": torch.stack([cell // self.size, cell % self.size], -1)}

    def _initial_state(self, setups: Setups) -> State:
        return {
            "cell": torch.full((self.num_envs, 2), self.start, device=self.device),
            "found": torch.zeros_like(setups.row),
        }

    def _observe(self, setups: Setups, state: State) -> Obs:
        return {"obs": state["cell"].clone()}

    def _moved(self, state: State, action: Tensor) -> Tensor:
        """The cells after an action: int64 [B, 2]."""
        return (state["cell"] + self._moves[action]).clamp(0, self.size - 1)


@final
class DarkRoom(Dark):
    """Find the goal of a dark room: every step that ends on it pays 1.

    A task is the goal, any cell but the start. An agent that knows it from earlier episodes of
    the trial walks there at once. The paper's rooms are these defaults, and size 17 (hard).

    Metrics: ``success``, 1 if the goal was reached in the episode.

    Args:
        num_envs: B.
        size: cells along a side, at least 2.
        length: env steps in an episode, at least 1.
        device: of all tensors.
    """

    goals = 1

    def __init__(
        self,
        num_envs: int,
        *,
        size: int = 9,
        length: int = 20,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(num_envs, size=size, length=length, device=device)

    @property
    def known_task(self) -> float:
        way = [abs(x - self.start) + abs(y - self.start) for x, y in self._cells()]
        return sum(max(0, self.length + 1 - d) for d in way) / len(way)

    def _result(self, setups: Setups, state: State, action: Tensor) -> ProbeResult:
        cell = self._moved(state, action)
        reached = (cell == setups["goal"][:, 0]).all(1)
        found = state["found"] | reached
        return ProbeResult({**state, "cell": cell, "found": found}, reached.float(), found > 0)


@final
class DarkKeyToDoor(Dark):
    """Find a key, then a door, in a dark room: each pays 1 when it is first reached.

    The door pays only after the key. A task is both cells, different ones and neither the start.

    Metrics: ``success``, 1 if both were reached in the episode.

    Args:
        num_envs: B.
        size: cells along a side, at least 2.
        length: env steps in an episode, at least 1.
        device: of all tensors.
    """

    goals = 2

    def __init__(
        self,
        num_envs: int,
        *,
        size: int = 9,
        length: int = 50,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(num_envs, size=size, length=length, device=device)

    @property
    def known_task(self) -> float:
        cells, returns = self._cells(), []
        for key in cells:
            to_key = abs(key[0] - self.start) + abs(key[1] - self.start)
            for door in cells:
                if door != key:
                    to_door = to_key + abs(door[0] - key[0]) + abs(door[1] - key[1])
                    returns.append((to_key <= self.length) + (to_door <= self.length))
        return sum(returns) / len(returns)

    def _result(self, setups: Setups, state: State, action: Tensor) -> ProbeResult:
        cell, found = self._moved(state, action), state["found"]  # 0: nothing, 1: key, 2: both
        goals = setups["goal"]
        wanted = torch.where((found == 0).unsqueeze(1), goals[:, 0], goals[:, 1])
        reached = (cell == wanted).all(1) & (found < 2)
        found = found + reached
        return ProbeResult({**state, "cell": cell, "found": found}, reached.float(), found == 2)
