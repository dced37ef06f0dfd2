"""MiniGrid for thousands of copies at once: every id but the Memory family, exactly, on tensors."""

from __future__ import annotations

from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from memrl.envs.actions import check_actions
from memrl.envs.minigrid.automaton import rows
from memrl.envs.minigrid.bank import Bank, codes_of
from memrl.envs.minigrid.bank_files import load_bank
from memrl.envs.minigrid.engine import GridEngine, GridState, check_view_size
from memrl.envs.minigrid.families import rules_of
from memrl.envs.minigrid.grid_episodes import EpisodeState, advance, autoreset, begin
from memrl.envs.minigrid.observer import TILE_SIZE, Observer, check_observation
from memrl.envs.minigrid.render import TILE_SIZE as RENDER_TILE_SIZE
from memrl.envs.minigrid.render import render_grid
from memrl.envs.missions import VOCABULARY
from memrl.rollout.env import BatchedEnv, Carried, Obs, Transition
from memrl.rollout.tokens import Tokens


@final
class GridEnv(BatchedEnv):
    """B copies of a MiniGrid task; see the package for the game itself.

    Observations are ``image`` uint8 [B, V, V, 3], indexed [column, row] as the package's, or a
    picture of it (see `Observer`), ``direction`` int64 [B], and ``mission`` int64 [B, L] where
    missions differ (words by number, see `memrl.envs.missions`; a mission that is the same sentence
    in every episode is left out). The reward is
    the package's, computed in float64 and rounded to float32. ``terminated`` and ``truncated`` may
    both be True.

    Episodes begin in levels of a bank: ``bank_size`` levels that the package draws from the seed
    ``bank``, once; another seed gives levels that an agent has not seen. Moving obstacles are
    drawn by this environment and equal the package's in distribution, all else in every number.

    Metrics: ``success`` (1 or 0) and ``length`` in env steps.

    Out-of-range actions raise on the CPU. On an accelerator looking at them would stall every step,
    so there they are undefined: they may hit a device assertion or play another action.

    Args:
        id: one of ``GRID_IDS``.
        num_envs: B.
        agent_view_size: V, one of 3, 5, 7.
        observation: ``symbolic``, ``rgb`` (the agent's view) or ``rgb_full`` (the whole grid).
        tile_size: pixels of a cell's side in pictures.
        bank: seed of the levels, from 0.
        bank_size: how many levels there are, from 1. The default draws in seconds, once, and
            keeps at most 2.6 MB.
        device: where everything lives, the generator included.

    Raises:
        ValueError: an unknown id or observation, or a number out of range.
    """

    metric_names = ("success", "length")
    exact_resume = True

    def __init__(
        self,
        id: str,
        num_envs: int,
        *,
        agent_view_size: int = 7,
        observation: str = "symbolic",
        tile_size: int = TILE_SIZE,
        bank: int = 0,
        bank_size: int = 4096,
        device: torch.device | str = "cpu",
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs is {num_envs}; at least 1 copy is needed")
        check_view_size(agent_view_size)  # before a bank is drawn
        check_observation(observation)
        self.id, self.num_envs, self.device = id, num_envs, torch.device(device)
        self._task_rules = rules_of(id)
        spec, levels = load_bank(id, bank_size, bank)
        self._bank = Bank(*(leaf.to(self.device) for leaf in levels))
        self._engine = GridEngine(
            spec.width,
            spec.height,
            view_size=agent_view_size,
            see_through_walls=spec.see_through_walls,
            device=self.device,
        )
        codes = codes_of(levels)
        self._observer = Observer(
            self._engine, observation, tile_size=tile_size, codes=codes, device=self.device
        )
        self._max_steps = spec.max_steps
        self._task = [id, agent_view_size, observation, tile_size, bank, bank_size, num_envs]
        self.observation_space = _observation_space(self._observer, levels.mission.shape[1])
        self.action_space = spaces.Discrete(self._task_rules.num_actions)
        t = torch.arange(spec.max_steps + 1, dtype=torch.float64)
        self._reward_at = (1 - 0.9 * (t / spec.max_steps)).float().to(self.device)
        every = torch.arange(bank_size, device=self.device)
        self._first = self._observer.encode(begin(self._bank, every).grid)

        self._generator = torch.Generator(self.device)
        self._generator.seed()
        self._play: EpisodeState  # written by reset
        self.reset()

    def reset(self, seed: int | None = None) -> Obs:
        if seed is not None:
            self._generator.manual_seed(seed)
        level = self._draw()
        self._play = begin(self._bank, level)
        return self._observe(self._play, self._first.index_select(0, level))

    def step(self, action: Tensor) -> Transition:
        check_actions(action, self.num_envs, self.action_space)
        play, result = advance(self._engine, self._task_rules, self._play, action, self._generator)
        reward = self._reward_at.index_select(0, play.t) * result.success
        if result.penalty is not None:
            reward = reward - result.penalty.float()
        truncated = play.t >= self._max_steps
        ended = result.terminated | truncated
        image = self._observer.encode(play.grid)

        self._play, seen = autoreset(play, image, ended, self._bank, self._first, self._draw())
        return Transition(
            obs=self._observe(self._play, seen),
            reward=reward,
            terminated=result.terminated,
            truncated=truncated,
            final_obs=self._observe(play, image),
            metrics={"success": result.success.float(), "length": play.t.float()},
        )

    def state_dict(self) -> dict[str, Any]:
        play = {name: _named(leaf) for name, leaf in self._play._asdict().items()}
        return {"task": self._task, "play": play, "generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> Obs:
        """Continue from ``state_dict``; returns the observations that were last given out.

        Raises:
            ValueError: the state is of another task, observation, bank or number of copies.
        """
        if list(state["task"]) != self._task:
            raise ValueError(
                "the state is of (id, view size, observation, tile size, bank, bank size, copies) "
                f"{list(state['task'])}, this is {self._task}"
            )
        own = {k: v.to(self.device, copy=True) for k, v in state["play"].items() if k != "grid"}
        grid = {k: v.to(self.device, copy=True) for k, v in state["play"]["grid"].items()}
        self._play = EpisodeState(grid=GridState(**grid), **own)
        self._generator.set_state(state["generator"].cpu())
        return self._observe(self._play, self._observer.encode(self._play.grid))

    def carried(self) -> Carried:
        return Carried(self._play, (self._generator,))

    def carry(self, state: Any) -> None:
        self._play = state

    def render(self, copy: int = 0, tile_size: int = RENDER_TILE_SIZE) -> NDArray[np.uint8]:
        """The whole grid of one copy, what the agent sees lit up: uint8 [H, W, 3]."""
        return render_grid(self._engine, rows(self._play.grid, slice(copy, copy + 1)), 0, tile_size)

    def _draw(self) -> Tensor:
        """Numbers of levels, one for every copy."""
        shape, levels = (self.num_envs,), self._bank.cell.shape[0]
        return torch.randint(levels, shape, generator=self._generator, device=self.device)

    def _observe(self, play: EpisodeState, seen: Tensor) -> Obs:
        obs = {"image": self._observer.decode(seen), "direction": play.grid.direction.clone()}
        return obs | {"mission": play.mission.clone()} if play.mission.shape[1] else obs


def _observation_space(observer: Observer, words: int) -> spaces.Dict:
    entries: dict[str, spaces.Space[Any]] = {
        "image": observer.space,
        "direction": spaces.Discrete(4),
    }
    if words:
        entries["mission"] = Tokens(len(VOCABULARY), words)
    return spaces.Dict(entries)


def _named(leaf: Any) -> Any:
    """A copy: tensors as they are, states as dicts of tensors."""
    if isinstance(leaf, Tensor):
        return leaf.clone()
    return {name: part.clone() for name, part in leaf._asdict().items()}
