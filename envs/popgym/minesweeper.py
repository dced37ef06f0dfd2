"""POPGym's MineSweeper: open every free cell of a hidden board."""

from __future__ import annotations

from typing import final

import torch
from gymnasium import spaces
from jaxtyping import Int
from torch import Tensor

from memrl.envs.episodic_env import EpisodicEnv, Outcome, State
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs


def choose(num: int, count: int, among: int, generator: torch.Generator) -> Int[Tensor, "num k"]:
    """``num`` uniform sets of ``count`` different numbers below ``among``, one per row, unordered.

    Floyd's algorithm: the i-th pick is uniform up to its limit; a pick that is taken already
    becomes the limit itself.
    """
    limits = torch.arange(among - count, among, device=generator.device)
    bits = torch.empty((num, count), dtype=torch.int64, device=generator.device)
    picks = bits.random_(generator=generator) % (limits + 1)
    for i in range(1, count):
        taken = (picks[:, :i] == picks[:, i : i + 1]).any(1)
        picks[:, i] = torch.where(taken, limits[i], picks[:, i])
    return picks


@final
class MineSweeper(EpisodicEnv):
    """The agent opens cells [row, column] of an S × S board; M of them contain mines.

    The observation is the number of mines in the 3 × 3 cells around the last opened cell: int64
    [B], 0 before the first. It does not show which cell that was, so agents also need the previous
    action. With F = S² - M free cells, opening a free cell pays 1 / F, an open cell costs
    0.5 / (F - 2), and a mine costs 0.5 + 1 / F. An episode terminates at a mine and when all free
    cells are open. It is truncated after F steps, unless it terminates then.

    Metrics: ``success``, 1 if all free cells are open; ``opened``, their fraction.

    Args:
        num_envs: B.
        side: S, at least 2.
        mines: M, 1 to S² - 3.
        device: of all tensors.

    Raises:
        ValueError: a board with fewer than three free cells, or no mine.
    """

    metric_names = ("success", "opened")

    def __init__(
        self, num_envs: int, *, side: int, mines: int, device: torch.device | str = "cpu"
    ) -> None:
        if side < 2 or not 1 <= mines <= side**2 - 3:
            most = max(side, 2) ** 2 - 3
            raise ValueError(
                f"side is {side} and mines is {mines}, allowed: a side of at least 2 and, for this "
                f"side, 1 … {most} mines"
            )
        super().__init__(num_envs, device=device)
        self.side, self.mines, self.free = side, mines, side**2 - mines
        self.observation_space = spaces.Dict({"obs": spaces.Discrete(min(mines + 1, 10))})
        self.action_space = spaces.MultiDiscrete([side, side])

    def _draw(self, num: int) -> Tensors:
        return {"mine": choose(num, self.mines, self.side**2, self.generator)}

    def _initial_state(self, setups: Setups) -> State:
        none = torch.zeros_like(setups.row)
        closed = none.new_zeros((self.num_envs, self.side**2), dtype=torch.bool)
        return {"open": closed, "opened": none, "near": none}

    def _observe(self, setups: Setups, state: State) -> Obs:
        return {"obs": state["near"].clone()}

    def _step(self, setups: Setups, state: State, action: Tensor) -> Outcome:
        row, column = action.unbind(1)
        cell = row * self.side + column
        mine = setups["mine"]  # [B, M]
        rows = (mine // self.side - row.unsqueeze(1)).abs()
        columns = (mine % self.side - column.unsqueeze(1)).abs()
        distance = torch.maximum(rows, columns)  # 0: this cell, 1: around it
        lost = (distance == 0).any(1)
        again = state["open"].gather(1, cell.unsqueeze(1)).squeeze(1)
        opened = state["opened"] + (~lost & ~again)
        won = opened == self.free
        terminated = lost | won
        after = {
            "open": state["open"].scatter(1, cell.unsqueeze(1), True),
            "opened": opened,
            "near": (distance <= 1).sum(1),
        }
        reward = torch.where(again, -0.5 / (self.free - 2), 1 / self.free)
        reward = reward.masked_fill_(lost, -0.5 - 1 / self.free)
        truncated = (state["t"] == self.free - 1) & ~terminated
        metrics = {"success": won.float(), "opened": opened / self.free}
        return Outcome(after, reward, terminated, truncated, metrics)
