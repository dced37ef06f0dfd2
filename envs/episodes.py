"""The base of tensor environments that are written as an episode: deal, begin, see, act."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from memrl.envs.actions import check_actions
from memrl.envs.setups import Setups, Tensors, draw_setups
from memrl.rollout.env import BatchedEnv, Carried, Obs, Transition

State: TypeAlias = dict[str, Tensor]


class Outcome(NamedTuple):
    """What an action did to B copies, before any new episode begins; no two leaves share memory."""

    state: State
    reward: Tensor  # float32 [B]
    terminated: Tensor  # bool [B]
    truncated: Tensor  # bool [B]
    metrics: dict[str, Tensor]  # float32 [B]; they count in the last step of an episode


class Episodes(BatchedEnv, ABC):
    """B copies of a task that says what is dealt, how an episode begins, is seen and goes on.

    A task keeps what chance decides before the first step in its *deal*, which an episode never
    changes, and what changes in its *state*: tensors that lead with B. The base owns the step
    counter ``state["t"]``, new episodes where one ended (see `setups`), seeding and saving.

    Nothing here waits for the device. Actions out of range raise on the CPU; elsewhere looking at
    them would stall every step, so there they are undefined.

    Args:
        num_envs: B, at least 1.
        min_length: env steps that no episode is shorter than, at least 1; the larger, the fewer
            setups are drawn at a step.
        device: where everything lives; random numbers too.

    Raises:
        ValueError: fewer than one copy or step.
    """

    exact_resume = True

    def __init__(
        self, num_envs: int, *, min_length: int = 1, device: torch.device | str = "cpu"
    ) -> None:
        if num_envs < 1 or min_length < 1:
            raise ValueError(
                f"{num_envs} copies, {min_length} steps an episode; allowed: at least 1 of each"
            )
        self.num_envs = num_envs
        self.device = torch.device(device)
        self.min_length = min_length
        self.generator = torch.Generator(self.device)
        self.generator.seed()
        self._setups: Setups | None = None
        self._state: State = {}

    @abstractmethod
    def _draw(self, num: int) -> Tensors:
        """``num`` setups, independent of each other and of everything before: each [num, ...]."""

    @abstractmethod
    def _initial_state(self, setups: Setups) -> State:
        """The state before the first step, without the step counter: each [B, ...]."""

    @abstractmethod
    def _observe(self, setups: Setups, state: State) -> Obs:
        """The observation of a state: each a new tensor [B, ...]."""

    @abstractmethod
    def _step(self, setups: Setups, state: State, action: Tensor) -> Outcome:
        """What an action does; ``state["t"]`` counts the steps before it and is the base's."""

    def reset(self, seed: int | None = None) -> Obs:
        if seed is not None:
            self.generator.manual_seed(seed)
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
        # All waiting setups have their turn within the min_length episode.
        setups = setups.refresh(self._draw, -(-self.num_envs // self.min_length))
        self._setups = setups = setups.advance(ended)
        first = self._initial(setups)
        self._state = {key: _where(ended, first[key], now) for key, now in state.items()}
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
        """Continue from ``state_dict``; returns the observations that were last given out.

        Raises:
            ValueError: the state is of another number of copies.
        """
        copies = len(state["row"])
        if copies != self.num_envs:
            raise ValueError(
                f"the state is of {copies} copies, this environment has {self.num_envs}"
            )
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

    def _current_setups(self) -> Setups:
        if self._setups is None:
            raise RuntimeError(f"{type(self).__name__}.step was called before reset")
        return self._setups

    def _initial(self, setups: Setups) -> State:
        return {**self._initial_state(setups), "t": torch.zeros_like(setups.row)}

    def _flags(self, value: bool) -> Tensor:
        return torch.full((self.num_envs,), value, dtype=torch.bool, device=self.device)


def _where(ended: Tensor, first: Tensor, now: Tensor) -> Tensor:
    return torch.where(ended.view(-1, *[1] * (now.dim() - 1)), first, now)
