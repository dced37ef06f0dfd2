"""The base class of tensor environments: it resets, saves and draws setups for its subclasses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from memrl.envs.actions import check_actions
from memrl.envs.rows import where_rows
from memrl.envs.setups import Setups, Tensors, draw_setups
from memrl.options import checked_seed
from memrl.rollout.env import BatchedEnv, Carried, Obs, Transition

State: TypeAlias = dict[str, Tensor]


class Outcome(NamedTuple):
    """Results of one step of B environments, before any reset; no two leaves share memory."""

    state: State
    reward: Tensor  # float32 [B]
    terminated: Tensor  # bool [B]
    truncated: Tensor  # bool [B]
    metrics: dict[str, Tensor]  # float32 [B]; read at the last step of an episode


class EpisodicEnv(BatchedEnv, ABC):
    """B environments of a task that defines setups, initial state, observation and step.

    The *setup* of an episode is drawn before its first step and does not change (see
    ``memrl.envs.setups``). The *state* changes at every step. Both are tensors that lead with B.
    This class counts steps in ``state["t"]``, resets ended episodes, seeds and saves.

    No step waits for the device. Actions out of range raise an error on the CPU. On other devices
    they are undefined, because checking them would stall every step.

    Args:
        num_envs: B, at least 1.
        min_length: env steps of the shortest episode, at least 1; a larger number means that a
            step draws fewer setups.
        device: of all tensors, random numbers included.

    Raises:
        ValueError: a number of environments or steps below 1.
    """

    exact_resume = True

    def __init__(
        self, num_envs: int, *, min_length: int = 1, device: torch.device | str = "cpu"
    ) -> None:
        if num_envs < 1 or min_length < 1:
            raise ValueError(
                f"num_envs is {num_envs} and min_length is {min_length}, allowed: at least 1 each"
            )
        self.num_envs = num_envs
        self.device = torch.device(device)
        self.min_length = min_length
        self.generator = torch.Generator(self.device)
        self.generator.seed()
        self._setups: Setups | None = None
        self._state: State = {}
        self._kept: Tensor | None = None

    @abstractmethod
    def _draw(self, num: int) -> Tensors:
        """``num`` independent setups: tensors [num, ...] by name."""

    @abstractmethod
    def _initial_state(self, setups: Setups) -> State:
        """The state before the first step, without the step counter: each [B, ...]."""

    def _next_episode(self, first: State, last: State) -> State:
        """The state before another episode of the same task.

        ``first`` was drawn by ``_initial_state``; ``last`` is the state after the last episode.
        """
        return first

    @abstractmethod
    def _observe(self, setups: Setups, state: State) -> Obs:
        """The observation of a state: each a new tensor [B, ...]."""

    @abstractmethod
    def _step(self, setups: Setups, state: State, action: Tensor) -> Outcome:
        """The results of an action; ``state["t"]`` counts earlier steps and must not be changed."""

    def reset(self, seed: int | None = None) -> Obs:
        if seed is not None:
            self.generator.manual_seed(checked_seed(seed))
        self._setups = draw_setups(self._draw, self.num_envs, self.device)
        self._state = self._initial(self._setups)
        return self._observe(self._setups, self._state)

    def step(self, action: Tensor) -> Transition:
        setups = self._current_setups()
        check_actions(action, self.num_envs, self.action_space)
        state, reward, terminated, truncated, metrics = self._step(setups, self._state, action)
        state = {**state, "t": self._state["t"] + 1}
        final_obs = self._observe(setups, state)

        ended = terminated | truncated
        # Replaces every next setup within the shortest episode.
        setups = setups.refresh(self._draw, -(-self.num_envs // self.min_length))
        new_task = ended if self._kept is None else ended & ~self._kept
        self._setups = setups = setups.advance(new_task)
        first = self._initial(setups)
        if self._kept is not None:
            again = self._next_episode(first, state)
            if again is not first:
                first = {key: where_rows(self._kept, again[key], first[key]) for key in first}
        self._state = {key: where_rows(ended, first[key], now) for key, now in state.items()}
        return Transition(
            obs=self._observe(setups, self._state),
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            final_obs=final_obs,
            metrics=metrics,
        )

    def state_dict(self) -> dict[str, Any]:
        setups = self._current_setups()
        return {
            "state": {key: value.clone() for key, value in self._state.items()},
            "tables": {key: table.clone() for key, table in setups.tables.items()},
            "row": setups.row.clone(),
            "turn": setups.turn.clone(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> Obs:
        """Continue from ``state_dict``; returns the current observations.

        Raises:
            ValueError: the state has another number of environments.
        """
        saved = len(state["row"])
        if saved != self.num_envs:
            raise ValueError(f"num_envs of the saved state is {saved}, allowed: {self.num_envs}")
        tables = {key: table.to(self.device, copy=True) for key, table in state["tables"].items()}
        row, turn = (state[key].to(self.device, copy=True) for key in ("row", "turn"))
        self._setups = Setups(tables, row, turn)
        self._state = {k: value.to(self.device, copy=True) for k, value in state["state"].items()}
        self.generator.set_state(state["generator"].cpu())
        return self._observe(self._setups, self._state)

    def carried(self) -> Carried:
        setups = self._current_setups()
        tables, state = (tuple(d[key] for key in sorted(d)) for d in (setups.tables, self._state))
        return Carried((tables, setups.row, setups.turn, state), (self.generator,))

    def carry(self, state: Any) -> None:
        tables, row, turn, now = state
        names = sorted(self._current_setups().tables)
        self._setups = Setups(dict(zip(names, tables, strict=True)), row, turn)
        self._state = dict(zip(sorted(self._state), now, strict=True))

    def keep_task(self, rows: Tensor | None) -> None:
        self._kept = rows

    def _current_setups(self) -> Setups:
        if self._setups is None:
            raise RuntimeError(f"{type(self).__name__}.step was called before reset")
        return self._setups

    def _initial(self, setups: Setups) -> State:
        return {**self._initial_state(setups), "t": torch.zeros_like(setups.row)}

    def _flags(self, value: bool) -> Tensor:
        return torch.full((self.num_envs,), value, dtype=torch.bool, device=self.device)
