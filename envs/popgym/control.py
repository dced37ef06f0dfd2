"""POPGym's CartPole and Pendulum with observed positions, velocities, or noisy positions."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Final, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.episodic_env import EpisodicEnv, Outcome, State
from memrl.envs.popgym.control_dynamics import (
    CART_LIMIT,
    POLE_LIMIT,
    TOP_TORQUE,
    fallen,
    push_cart,
    turn_rod,
)
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs

_COST_SPAN: Final = 16.2736044  # largest cost: hanging down at top speed and torque


class Control(EpisodicEnv):
    """Base class: a float64 state, partly observed, with optional noise.

    The noise is normal and drawn for each observation; the noisy observation is clipped to the
    observation space, as in the package. The tasks have no success and no metrics.
    """

    def __init__(
        self,
        num_envs: int,
        *,
        steps: int,
        noise: float,
        min_length: int,
        high: tuple[float, float],
        device: torch.device | str,
    ) -> None:
        if steps < 1:
            raise ValueError(f"steps is {steps}, allowed: at least 1 env step")
        if not 0 <= noise < math.inf:
            raise ValueError(f"noise is {noise}, allowed: a finite number of at least 0")
        super().__init__(num_envs, min_length=min_length, device=device)
        self.steps = steps
        self.noise = noise
        bound = np.array(high, dtype=np.float32)
        self.observation_space = spaces.Dict({"obs": spaces.Box(-bound, bound)})
        self._bound = torch.as_tensor(bound, device=self.device)

    @abstractmethod
    def _start(self, num: int) -> Tensor:
        """``num`` initial states of the body: float64 [num, ...]."""

    @abstractmethod
    def _clean(self, state: State) -> Tensor:
        """The observation without noise: float32 [B, 2]."""

    def _draw(self, num: int) -> Tensors:
        setup = {"body": self._start(num)}
        return {**setup, "noise": self._noise(num)} if self.noise else setup

    def _initial_state(self, setups: Setups) -> State:
        return {name: setups[name] for name in setups.tables}

    def _observe(self, setups: Setups, state: State) -> Obs:
        clean = self._clean(state)
        if self.noise:
            clean = torch.clamp(clean + state["noise"], -self._bound, self._bound)
        return {"obs": clean}

    def _moved(self, state: State, body: Tensor) -> State:
        """The state with a new body, and with new noise for its observation."""
        moved = {**state, "body": body}
        return {**moved, "noise": self._noise(self.num_envs)} if self.noise else moved

    def _noise(self, num: int) -> Tensor:
        size = (num, 2)
        return self.noise * torch.randn(size, generator=self.generator, device=self.device)

    def _between(self, high: Tensor, num: int) -> Tensor:
        """Uniform in -high … high: float64 [num, K]."""
        drawn = torch.rand(
            (num, high.shape[0]),
            generator=self.generator,
            dtype=torch.float64,
            device=self.device,
        )
        return high * (2 * drawn - 1)


@final
class CartPole(Control):
    """Balance a pole on a cart by pushing the cart to the left (0) or right (1) at every step.

    Every step, also the one in which the pole falls, pays 1 / ``steps``; the best return is 1. An
    episode terminates when the pole is more than 12° from upright or the cart more than 2.4 m from
    the middle. It is truncated after ``steps``; both can be True. The observation is float32
    [B, 2]: cart, pole.

    With ``seen=velocity`` an episode's first observation shows *positions*, as in the package.

    Args:
        num_envs: B.
        seen: ``position`` (m, rad) or ``velocity`` (m/s, rad/s).
        steps: env steps until truncation, at least 1; the reward scales with its inverse.
        noise: standard deviation of the noise of both numbers, at least 0.
        device: of all tensors.
    """

    def __init__(
        self,
        num_envs: int,
        *,
        seen: str = "position",
        steps: int = 200,
        noise: float = 0.0,
        device: torch.device | str = "cpu",
    ) -> None:
        if seen not in ("position", "velocity"):
            raise ValueError(f"seen is {seen!r}, allowed: position, velocity")
        high = (2 * CART_LIMIT, 2 * POLE_LIMIT) if seen == "position" else (math.inf, math.inf)
        # No pole falls within the first 5 steps, under any actions.
        min_length = min(steps, 5)
        super().__init__(
            num_envs, steps=steps, noise=noise, min_length=min_length, high=high, device=device
        )
        self.seen = seen
        self.action_space = spaces.Discrete(2)

    def _start(self, num: int) -> Tensor:
        return self._between(torch.full((4,), 0.05, device=self.device).double(), num)

    def _clean(self, state: State) -> Tensor:
        body = state["body"].float()
        position = body[:, 0::2]
        if self.seen == "position":
            return position
        return torch.where((state["t"] == 0).unsqueeze(1), position, body[:, 1::2])

    def _step(self, setups: Setups, state: State, action: Tensor) -> Outcome:
        body = push_cart(state["body"], action == 1)
        t = state["t"] + 1
        reward = torch.full((self.num_envs,), 1 / self.steps, device=self.device)
        return Outcome(self._moved(state, body), reward, fallen(body), t >= self.steps, {})


@final
class Pendulum(Control):
    """Swing a rod up and hold it upright with a motor that is too weak to lift it directly.

    The action is a torque, float32 [B, 1], clipped to ±2 N m. The reward of a step is
    (1 - cost / 8.1368022) / ``steps`` with the cost of `turn_rod`, so that returns are in -1 … 1.
    Episodes are truncated after ``steps`` and never terminate. The observation is float32 [B, 2]:
    cos θ and sin θ.

    Args:
        num_envs: B.
        steps: env steps of an episode, at least 1.
        noise: standard deviation of the noise of both numbers, at least 0.
        device: of all tensors.
    """

    def __init__(
        self,
        num_envs: int,
        *,
        steps: int = 200,
        noise: float = 0.0,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(
            num_envs, steps=steps, noise=noise, min_length=steps, high=(1.0, 1.0), device=device
        )
        self.action_space = spaces.Box(-TOP_TORQUE, TOP_TORQUE, (1,), np.float32)

    def _start(self, num: int) -> Tensor:
        high = torch.tensor([math.pi, 1.0], dtype=torch.float64, device=self.device)
        return self._between(high, num)

    def _clean(self, state: State) -> Tensor:
        angle = state["body"][:, 0]
        return torch.stack([angle.cos(), angle.sin()], dim=1).float()

    def _step(self, setups: Setups, state: State, action: Tensor) -> Outcome:
        body, cost = turn_rod(state["body"], action.squeeze(1))
        t = state["t"] + 1
        half = _COST_SPAN / 2
        reward = (half - cost) / half / self.steps
        return Outcome(
            self._moved(state, body),
            reward.float(),
            terminated=self._flags(False),
            truncated=t >= self.steps,
            metrics={},
        )
