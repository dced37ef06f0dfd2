"""Goal: walk to a cell that changes in every episode, to test learning from reached goals."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.catalogue import Levels, Need
from memrl.envs.episodic_env import Outcome, State
from memrl.envs.probes.probe import Probe
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs


@final
class Goal(Probe):
    """Walk to a cell of a grid with ``size`` cells along each of ``dims`` axes.

    Start and goal are drawn uniformly from all pairs of different cells. Action 2i moves back along
    axis i, 2i + 1 forward; walls block moves. Reaching the goal pays 1 and terminates the episode;
    other steps pay 0. The episode is truncated after dims × (size − 1) steps, the distance of the
    farthest cells. The observation has the coordinates ``observation``, ``achieved_goal`` (the
    same) and ``desired_goal``.

    A policy that ignores the goal visits at best one new cell per step: its success is then
    dims × (size − 1) / (size^dims − 1). Random actions almost never reach the goal.

    Args:
        num_envs: B.
        size: cells along an axis, at least 2.
        dims: number of axes, at least 2.
        device: of all tensors.
    """

    need: ClassVar[Need] = "not needed"
    metric_names = ("success",)
    has_goals = True

    def __init__(
        self,
        num_envs: int,
        *,
        size: int = 5,
        dims: int = 5,
        device: torch.device | str = "cpu",
    ) -> None:
        if size < 2 or dims < 2:
            raise ValueError(f"size is {size} and dims is {dims}, allowed: at least 2 each")
        super().__init__(num_envs, device=device)
        self.size, self.dims = size, dims
        self.cells, self.limit = size**dims, dims * (size - 1)
        names = ("observation", "achieved_goal", "desired_goal")
        self.observation_space = spaces.Dict(
            {name: spaces.MultiDiscrete([size] * dims) for name in names}
        )
        self.action_space = spaces.Discrete(2 * dims)

    @property
    def levels(self) -> Levels:
        blind = self.limit / (self.cells - 1)
        return Levels("success", optimum=1.0, memoryless=1.0, guess=blind)

    def goal_reward(self, achieved: Tensor, desired: Tensor) -> tuple[Tensor, Tensor]:
        reached = (achieved == desired).all(-1)
        return reached.float(), reached

    def _draw(self, num: int) -> Tensors:
        start = self._integers(self.cells, num)
        goal = (start + 1 + self._integers(self.cells - 1, num)) % self.cells
        return {"start": self._coordinates(start), "goal": self._coordinates(goal)}

    def _coordinates(self, cell: Tensor) -> Tensor:
        """From cells [*N] to coordinates [*N, dims]."""
        place = self.size ** torch.arange(self.dims, device=self.device)
        return cell.unsqueeze(-1) // place % self.size

    def _initial_state(self, setups: Setups) -> State:
        return {"cell": setups["start"]}

    def _observe(self, setups: Setups, state: State) -> Obs:
        cell = state["cell"]
        return {
            "observation": cell.clone(),
            "achieved_goal": cell.clone(),
            "desired_goal": setups["goal"],
        }

    def _step(self, setups: Setups, state: State, action: Tensor) -> Outcome:
        axis = torch.nn.functional.one_hot(action // 2, self.dims)
        step = axis * (2 * (action % 2) - 1).unsqueeze(-1)
        cell = (state["cell"] + step).clamp(0, self.size - 1)
        reward, reached = self.goal_reward(cell, setups["goal"])
        late = state["t"] + 1 >= self.limit
        success = {"success": reward.clone()}
        return Outcome({**state, "cell": cell}, reward, reached, late, success)
