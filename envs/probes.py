"""Tiny tasks that test an agent in seconds: each one fails loudly when one thing is broken."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, TypeAlias, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from memrl.rollout.env import BatchedEnv, Carried, Obs, Transition
from memrl.rollout.spaces import MASK

State: TypeAlias = dict[str, Tensor]


class Outcome(NamedTuple):
    """What an action did to B copies, before any reset."""

    state: State
    reward: Tensor  # float32 [B]
    success: Tensor  # bool [B]; counts in the last step of an episode


class Probe(BatchedEnv, ABC):
    """B copies of a task whose whole state is a few tensors that lead with B.

    The base owns what every task needs: the step counter ``state["t"]``, autoreset, seeding and
    saving. Episodes last ``length`` steps. A task writes how a state is drawn, seen and changed.

    Args:
        num_envs: B.
        length: env steps in an episode, at least 1.
        device: where everything lives; random numbers too.
    """

    metric_names = ("success",)
    exact_resume = True
    ends_by_time: ClassVar[bool] = False  # the last step truncates instead of terminating

    def __init__(self, num_envs: int, *, length: int, device: torch.device | str = "cpu") -> None:
        if length < 1:
            raise ValueError(f"an episode of {length} steps is too short; allowed: at least 1")
        self.num_envs = num_envs
        self.device = torch.device(device)
        self.length = length
        self.generator = torch.Generator(self.device)
        self.generator.seed()
        self._state: State = {}

    @abstractmethod
    def _draw(self) -> State:
        """The state of B new episodes, without the step counter."""

    @abstractmethod
    def _see(self, state: State) -> Obs:
        """The observation of a state; ``state["t"]`` counts steps and ends at ``length``."""

    @abstractmethod
    def _act(self, state: State, action: Tensor) -> Outcome:
        """The outcome of an action chosen in ``state``; the step counter is the base's."""

    def reset(self, seed: int | None = None) -> Obs:
        if seed is not None:
            self.generator.manual_seed(seed)
        self._state = self._begin()
        return self._see(self._state)

    def step(self, action: Tensor) -> Transition:
        if not self._state:
            raise RuntimeError(f"{type(self).__name__}.step was called before reset")
        state, reward, success = self._act(self._state, action)
        state = {**state, "t": self._state["t"] + 1}
        ended = state["t"] == self.length
        never = torch.zeros_like(ended)
        # New episodes are drawn for all rows at every step: no transfer to the host asks who ended.
        begun = self._begin()
        self._state = {
            key: torch.where(ended.view(-1, *[1] * (now.dim() - 1)), begun[key], now)
            for key, now in state.items()
        }
        return Transition(
            obs=self._see(self._state),
            reward=reward,
            terminated=never if self.ends_by_time else ended,
            truncated=ended if self.ends_by_time else never,
            final_obs=self._see(state),
            metrics={"success": success.float()},
        )

    def state_dict(self) -> dict[str, Any]:
        return {"state": dict(self._state), "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> Obs:
        self._state = {key: value.to(self.device) for key, value in state["state"].items()}
        self.generator.set_state(state["generator"].cpu())
        return self._see(self._state)

    def carried(self) -> Carried:
        return Carried(tuple(self._state[key] for key in sorted(self._state)), (self.generator,))

    def carry(self, state: Any) -> None:
        self._state = dict(zip(sorted(self._state), state, strict=True))

    def _begin(self) -> State:
        counter = torch.zeros(self.num_envs, dtype=torch.int64, device=self.device)
        return {**self._draw(), "t": counter}

    def _integers(self, high: int, *shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
        """Uniform on 0 … high - 1: [B, ...]."""
        size = (self.num_envs, *shape)
        return torch.randint(high, size, generator=self.generator, dtype=dtype, device=self.device)


@final
class Recall(Probe):
    """Remember the first input: a cue, ``delay`` blanks, and a call for the answer.

    The observation is one symbol: a cue 0 … cues - 1, ``cues`` (blank), or ``cues + 1`` (answer
    now). The reward is 1 if the last action names the cue; earlier actions do nothing. Without a
    memory that reaches ``delay + 1`` steps back, success is 1 / cues.

    Args:
        num_envs: B.
        cues: how many cues there are, at least 2.
        delay: env steps between the cue and the call, from 0.
        device: where everything lives.
    """

    def __init__(
        self,
        num_envs: int,
        *,
        cues: int = 4,
        delay: int = 3,
        device: torch.device | str = "cpu",
    ) -> None:
        if cues < 2 or delay < 0:
            raise ValueError(f"cues is {cues}, delay {delay}; allowed: cues from 2, delay from 0")
        super().__init__(num_envs, length=delay + 2, device=device)
        self.cues = cues
        self.observation_space = spaces.Dict({"obs": spaces.Discrete(cues + 2)})
        self.action_space = spaces.Discrete(cues)

    def _draw(self) -> State:
        return {"cue": self._integers(self.cues)}

    def _see(self, state: State) -> Obs:
        t = state["t"]
        later = torch.where(t == self.length - 1, self.cues + 1, self.cues)
        return {"obs": torch.where(t == 0, state["cue"], later)}

    def _act(self, state: State, action: Tensor) -> Outcome:
        right = (action == state["cue"]) & (state["t"] == self.length - 1)
        return Outcome(state, right.float(), right)


@final
class Pixels(Probe):
    """Look at the picture: one quarter of a 64 × 64 image is lit, and its number is the answer.

    Every step shows another quarter and pays 1 / length for the right one; an episode is a
    success when all were right. Pixels are dim noise elsewhere, uint8 [B, 64, 64, 3].

    Args:
        num_envs: B.
        length: env steps in an episode.
        device: where everything lives.
    """

    side = 64

    def __init__(
        self, num_envs: int, *, length: int = 4, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__(num_envs, length=length, device=device)
        image = spaces.Box(0, 255, (self.side, self.side, 3), np.uint8)
        self.observation_space = spaces.Dict({"obs": image})
        self.action_space = spaces.Discrete(4)

    def _draw(self) -> State:
        return {
            "quarter": self._integers(4, self.length + 1),
            "noise": self._integers(64, self.side, self.side, dtype=torch.uint8),
            "right": torch.ones(self.num_envs, dtype=torch.bool, device=self.device),
        }

    def _see(self, state: State) -> Obs:
        quarter = state["quarter"].gather(1, state["t"].unsqueeze(1))  # [B, 1]
        half = torch.arange(self.side, device=self.device) // (self.side // 2)  # [64]
        rows, columns = half == quarter // 2, half == quarter % 2  # each [B, 64]
        lit = rows.unsqueeze(2) & columns.unsqueeze(1)  # [B, 64, 64]
        grey = torch.where(lit, torch.full_like(state["noise"], 255), state["noise"])
        return {"obs": grey.unsqueeze(-1).expand(-1, -1, -1, 3).contiguous()}

    def _act(self, state: State, action: Tensor) -> Outcome:
        hit = action == state["quarter"].gather(1, state["t"].unsqueeze(1)).squeeze(1)
        right = state["right"] & hit
        return Outcome({**state, "right": right}, hit.float() / self.length, right)

    def render(self, copy: int = 0) -> Any:
        return self._see(self._state)["obs"][copy].cpu().numpy() if self._state else None


@final
class Masked(Probe):
    """Do what is allowed: every step forbids some actions, and a forbidden one costs 1.

    ``action_mask`` (bool [B, A]) allows at least one action; ``obs`` (float32 [B, 1]) is the
    fraction of the episode that is over and helps nobody. An episode is a success when nothing
    forbidden was done. Time truncates it, nothing terminates.

    Args:
        num_envs: B.
        actions: A, at least 2.
        length: env steps in an episode.
        device: where everything lives.
    """

    ends_by_time = True

    def __init__(
        self,
        num_envs: int,
        *,
        actions: int = 5,
        length: int = 8,
        device: torch.device | str = "cpu",
    ) -> None:
        if actions < 2:
            raise ValueError(f"actions is {actions}; allowed: at least 2")
        super().__init__(num_envs, length=length, device=device)
        self.action_space = spaces.Discrete(actions)
        self.observation_space = spaces.Dict(
            {"obs": spaces.Box(0.0, 1.0, (1,), np.float32), MASK: spaces.MultiBinary(actions)}
        )

    def _draw(self) -> State:
        return {
            "mask": self._mask(),
            "right": torch.ones(self.num_envs, dtype=torch.bool, device=self.device),
        }

    def _mask(self) -> Tensor:
        actions = int(self.action_space.n)  # type: ignore[attr-defined]
        chosen = torch.nn.functional.one_hot(self._integers(actions), actions).bool()
        return chosen | self._integers(2, actions).bool()

    def _see(self, state: State) -> Obs:
        return {"obs": (state["t"] / self.length).unsqueeze(1), MASK: state["mask"]}

    def _act(self, state: State, action: Tensor) -> Outcome:
        allowed = state["mask"].gather(1, action.unsqueeze(1)).squeeze(1)
        right = state["right"] & allowed
        state = {**state, "mask": self._mask(), "right": right}
        return Outcome(state, allowed.float() - 1.0, right)


@final
class OneStep(Probe):
    """Every step is an episode: the action must point at the largest of three numbers.

    Whoever confuses the observation of this episode with that of the next one learns nothing.
    The observation is float32 [B, 3] in [0, 1]; the reward is 1 for the right action.

    Args:
        num_envs: B.
        device: where everything lives.
    """

    def __init__(self, num_envs: int, *, device: torch.device | str = "cpu") -> None:
        super().__init__(num_envs, length=1, device=device)
        self.observation_space = spaces.Dict({"obs": spaces.Box(0.0, 1.0, (3,), np.float32)})
        self.action_space = spaces.Discrete(3)

    def _draw(self) -> State:
        size = (self.num_envs, 3)
        return {"numbers": torch.rand(size, generator=self.generator, device=self.device)}

    def _see(self, state: State) -> Obs:
        return {"obs": state["numbers"]}

    def _act(self, state: State, action: Tensor) -> Outcome:
        right = action == state["numbers"].argmax(1)
        return Outcome(state, right.float(), right)


PROBES: dict[str, type[Recall | Pixels | Masked | OneStep]] = {
    "probe/Recall-v0": Recall,
    "probe/Pixels-v0": Pixels,
    "probe/Masked-v0": Masked,
    "probe/OneStep-v0": OneStep,
}
