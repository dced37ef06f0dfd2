"""MiniGrid-Memory as tensor environments: a step of the package's task takes a few gathers.

The grid engine computes every reachable state once (``memory_task``); a step is then a look-up.
From equal states and actions, observations, rewards and both end flags equal the package's; the
tests compare them.
"""

from __future__ import annotations

from typing import Any, final

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.actions import check_actions
from memrl.envs.minigrid.automaton import rows
from memrl.envs.minigrid.engine import NUM_ACTIONS, GridState
from memrl.envs.minigrid.memory_task import memory_task
from memrl.envs.minigrid.observer import TILE_SIZE, Observer
from memrl.envs.minigrid.start_sampler import StartSampler
from memrl.envs.minigrid.tensor_env import MiniGridEnv, rewards
from memrl.options import checked_seed
from memrl.rollout.env import Carried, Cue, Obs, Transition


@final
class MemoryEnv(MiniGridEnv):
    """B environments of a MiniGrid-Memory task; the package documents the game itself.

    Observations are ``image`` uint8 [B, V, V, 3], indexed [column, row] as in the package, or an
    RGB image (see `Observer`), and ``direction`` int64 [B]. They omit the package's ``mission``,
    which is the same in every episode. The reward is the package's, ``1 - 0.9 · t / max_steps`` on
    success, computed in float64 and rounded to float32. ``terminated`` and ``truncated`` may both
    be True.

    Metrics: ``success`` (1 or 0; 0 if time runs out), ``cue_seen`` (1 if any observation of the
    episode showed the cue; always 1 with ``rgb_full``) and ``length`` in env steps.

    Actions out of range raise an error on the CPU. On an accelerator they are undefined, because
    checking them would stall every step: they may hit a device assertion or act as another action.

    Args:
        id: one of ``MEMORY_IDS``.
        num_envs: B.
        agent_view_size: V, one of 3, 5, 7.
        observation: ``symbolic``, ``rgb`` (the agent's view) or ``rgb_full`` (the whole grid, which
            needs no memory).
        tile_size: side of a cell in pixels, for RGB images.
        device: of all tensors and of the generator.

    Raises:
        ValueError: an unknown id or observation, or a number out of range.
    """

    metric_names = ("success", "cue_seen", "length")

    def __init__(
        self,
        id: str,
        num_envs: int,
        *,
        agent_view_size: int = 7,
        observation: str = "symbolic",
        tile_size: int = TILE_SIZE,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(id, num_envs, device)
        self._task = task = memory_task(id, agent_view_size)
        self._engine = task.engine
        states, move = task.automaton.states, self.device
        self._observer = Observer(
            task.engine,
            observation,
            tile_size=tile_size,
            codes=tuple(torch.bincount(states.cells.flatten()).nonzero().flatten().tolist()),
            device=move,
        )
        self.observation_space = spaces.Dict(
            {"image": self._observer.space, "direction": spaces.Discrete(4)}
        )
        self.action_space = spaces.Discrete(NUM_ACTIONS)

        self._starts = StartSampler(*(leaf.to(move) for leaf in task.starts))
        self._next = task.automaton.next_state.flatten().to(move)
        self._seen = self._observer.encode(states).to(move)
        self._direction = states.direction.to(move)
        self._success = task.success.float().to(move)
        self._over = (task.success | task.failure).to(move)
        self._cue = task.cue.to(move)
        self._cue_visible = (task.cue_visible | (observation == "rgb_full")).to(move)
        self._reward_at = rewards(task.max_steps, move)

        # Written by reset.
        self._start = self._state = self._t = self._cue_seen = torch.empty(0)
        self.reset()

    def reset(self, seed: int | None = None) -> Obs:
        if seed is not None:
            self._generator.manual_seed(checked_seed(seed))
        self._start = self._starts.draw(self.num_envs, self._generator)
        self._state = self._start
        self._t = torch.zeros_like(self._state)
        self._cue_seen = self._cue_visible.index_select(0, self._state)
        return self._observe(self._state)

    def step(self, action: Tensor) -> Transition:
        check_actions(action, self.num_envs, self.action_space)
        t = self._t + 1
        state = self._next.index_select(0, torch.add(action, self._state, alpha=NUM_ACTIONS))
        success = self._success.index_select(0, state)
        cue_seen = self._cue_seen | self._cue_visible.index_select(0, state)
        terminated = self._over.index_select(0, state)
        truncated = t >= self._task.max_steps
        ended = terminated | truncated

        drawn = self._starts.draw(self.num_envs, self._generator)
        self._start = torch.where(ended, self._next_start(drawn, self._start), self._start)
        self._state = torch.where(ended, self._start, state)
        self._cue_seen = torch.where(
            ended, self._cue_visible.index_select(0, self._state), cue_seen
        )
        self._t = t.masked_fill(ended, 0)
        return Transition(
            obs=self._observe(self._state),
            reward=self._reward_at.index_select(0, t) * success,
            terminated=terminated,
            truncated=truncated,
            final_obs=self._observe(state),
            metrics={"success": success, "cue_seen": cue_seen.float(), "length": t.float()},
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "agent_view_size": self._task.engine.view_size,
            "start": self._start.clone(),
            "state": self._state.clone(),
            "t": self._t.clone(),
            "cue_seen": self._cue_seen.clone(),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> Obs:
        """Continue from ``state_dict``; returns the current observations.

        Raises:
            ValueError: the state has another task, view size or number of environments.
        """
        own = (self.id, self._task.engine.view_size, self.num_envs)
        given = (state["id"], state["agent_view_size"], len(state["state"]))
        if given != own:
            raise ValueError(
                f"(id, agent_view_size, num_envs) of the saved state is {given}, allowed: {own}"
            )
        # Files from before there were trials hold no start, which then nothing reads.
        self._start = state.get("start", state["state"]).to(self.device, copy=True)
        self._state = state["state"].to(self.device, copy=True)
        self._t = state["t"].to(self.device, copy=True)
        self._cue_seen = state["cue_seen"].to(self.device, copy=True)
        self._generator.set_state(state["generator"].cpu())
        return self._observe(self._state)

    def cue(self) -> Cue:
        """0 is a key, 1 a ball."""
        visible = self._cue_visible.index_select(0, self._state)
        return Cue(self._cue.index_select(0, self._state), visible)

    def choice(self, action: Tensor) -> Tensor:
        state = self._next.index_select(0, torch.add(action, self._state, alpha=NUM_ACTIONS))
        cue = self._cue.index_select(0, state)
        chosen = torch.where(self._success.index_select(0, state) > 0, cue, 1 - cue)
        return torch.where(self._over.index_select(0, state), chosen, -1)

    def carried(self) -> Carried:
        return Carried((self._start, self._state, self._t, self._cue_seen), (self._generator,))

    def carry(self, state: Any) -> None:
        self._start, self._state, self._t, self._cue_seen = state

    def _grids(self, index: slice) -> GridState:
        return rows(self._task.automaton.states, self._state[index].cpu())

    def _observe(self, state: Tensor) -> Obs:
        return {
            "image": self._observer.decode(self._seen.index_select(0, state)),
            "direction": self._direction.index_select(0, state),
        }
