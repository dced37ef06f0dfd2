"""MiniGrid's tasks as tensor environments, except the Memory family and the WFC ids."""

from __future__ import annotations

from typing import Any, final

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.actions import check_actions
from memrl.envs.minigrid.automaton import rows
from memrl.envs.minigrid.bank import Bank, codes_of
from memrl.envs.minigrid.bank_files import load_bank
from memrl.envs.minigrid.engine import GridEngine, GridState, check_view_size
from memrl.envs.minigrid.families import rules_of
from memrl.envs.minigrid.grid_episodes import GridEpisodes, advance, autoreset, start_episodes
from memrl.envs.minigrid.observer import TILE_SIZE, Observer, check_observation
from memrl.envs.minigrid.tensor_env import MiniGridEnv, rewards
from memrl.envs.missions import VOCABULARY
from memrl.options import checked_seed
from memrl.rollout.env import Carried, Obs, Transition
from memrl.rollout.tokens import Tokens


@final
class GridEnv(MiniGridEnv):
    """B environments of a MiniGrid task; the package documents the game itself.

    Observations are ``image`` uint8 [B, V, V, 3], indexed [column, row] as in the package, or an
    RGB image (see `Observer`); ``direction`` int64 [B]; and ``mission`` int64 [B, L], the indices
    of its words (see ``memrl.envs.missions``). Tasks with the same mission in every episode have no
    ``mission``. The reward is the package's, computed in float64 and rounded to float32.
    ``terminated`` and ``truncated`` may both be True.

    Episodes start in levels of a bank: ``bank_size`` levels that the package generates once from
    the seed ``bank``. Another seed gives levels that an agent has not seen. Moving obstacles have
    the package's distribution; everything else equals the package in every number.

    Metrics: ``success`` (1 or 0) and ``length`` in env steps.

    Actions out of range raise an error on the CPU. On an accelerator they are undefined, because
    checking them would stall every step: they may hit a device assertion or act as another action.

    Args:
        id: one of ``GRID_IDS``.
        num_envs: B.
        agent_view_size: V, one of 3, 5, 7.
        observation: ``symbolic``, ``rgb`` (the agent's view) or ``rgb_full`` (the whole grid).
        tile_size: side of a cell in pixels, for RGB images.
        bank: seed of the levels, at least 0.
        bank_size: number of levels, at least 1. Generating the default takes seconds, once, and
            at most 2.6 MB.
        device: of all tensors and of the generator.

    Raises:
        ValueError: an unknown id or observation, or a number out of range.
    """

    metric_names = ("success", "length")

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
        super().__init__(id, num_envs, device)
        check_view_size(agent_view_size)  # before generating a bank
        check_observation(observation)
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
        self._reward_at = rewards(spec.max_steps, self.device)
        every = torch.arange(bank_size, device=self.device)
        self._first = self._observer.encode(start_episodes(self._bank, every).grid)

        self._episodes: GridEpisodes  # written by reset
        self.reset()

    def reset(self, seed: int | None = None) -> Obs:
        if seed is not None:
            self._generator.manual_seed(checked_seed(seed))
        level = self._draw()
        self._episodes = start_episodes(self._bank, level)
        return self._observe(self._episodes, self._first.index_select(0, level))

    def step(self, action: Tensor) -> Transition:
        check_actions(action, self.num_envs, self.action_space)
        episodes, result = advance(
            self._engine, self._task_rules, self._episodes, action, self._generator
        )
        reward = self._reward_at.index_select(0, episodes.t) * result.success
        if result.penalty is not None:
            reward = reward - result.penalty.float()
        truncated = episodes.t >= self._max_steps
        ended = result.terminated | truncated
        image = self._observer.encode(episodes.grid)

        self._episodes, next_image = autoreset(
            episodes,
            image,
            ended,
            self._bank,
            self._first,
            self._next_start(self._draw(), episodes.level),
        )
        return Transition(
            obs=self._observe(self._episodes, next_image),
            reward=reward,
            terminated=result.terminated,
            truncated=truncated,
            final_obs=self._observe(episodes, image),
            metrics={"success": result.success.float(), "length": episodes.t.float()},
        )

    def state_dict(self) -> dict[str, Any]:
        episodes = {name: _named(leaf) for name, leaf in self._episodes._asdict().items()}
        return {"task": self._task, "play": episodes, "generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> Obs:
        """Continue from ``state_dict``; returns the current observations.

        Raises:
            ValueError: the state has another task, observation, bank or number of environments.
        """
        if list(state["task"]) != self._task:
            raise ValueError(
                "(id, agent_view_size, observation, tile_size, bank, bank_size, num_envs) of the "
                f"saved state is {list(state['task'])}, allowed: {self._task}"
            )
        own = {k: v.to(self.device, copy=True) for k, v in state["play"].items() if k != "grid"}
        # Files from before there were trials hold no level, which then nothing reads.
        own.setdefault("level", torch.zeros_like(own["t"]))
        grid = {k: v.to(self.device, copy=True) for k, v in state["play"]["grid"].items()}
        self._episodes = GridEpisodes(grid=GridState(**grid), **own)
        self._generator.set_state(state["generator"].cpu())
        return self._observe(self._episodes, self._observer.encode(self._episodes.grid))

    def carried(self) -> Carried:
        return Carried(self._episodes, (self._generator,))

    def carry(self, state: Any) -> None:
        self._episodes = state

    def _grids(self, index: slice) -> GridState:
        return rows(self._episodes.grid, index)

    def _draw(self) -> Tensor:
        """Indices of levels, one per environment."""
        shape, levels = (self.num_envs,), self._bank.cell.shape[0]
        return torch.randint(levels, shape, generator=self._generator, device=self.device)

    def _observe(self, episodes: GridEpisodes, image: Tensor) -> Obs:
        obs = {"image": self._observer.decode(image), "direction": episodes.grid.direction.clone()}
        return obs | {"mission": episodes.mission.clone()} if episodes.mission.shape[1] else obs


def _observation_space(observer: Observer, words: int) -> spaces.Dict:
    entries: dict[str, spaces.Space[Any]] = {
        "image": observer.space,
        "direction": spaces.Discrete(4),
    }
    if words:
        entries["mission"] = Tokens(len(VOCABULARY), words)
    return spaces.Dict(entries)


def _named(leaf: Any) -> Any:
    """A clone of a leaf: a tensor, or a dict of the tensors of a grid."""
    if isinstance(leaf, Tensor):
        return leaf.clone()
    return {name: part.clone() for name, part in leaf._asdict().items()}
