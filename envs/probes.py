"""Tiny tasks that test an agent in seconds: each one fails loudly when one thing is broken."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.deals import Deals, Tensors
from memrl.envs.episodes import Episodes, Outcome, State
from memrl.rollout.env import Obs
from memrl.rollout.spaces import MASK


class Verdict(NamedTuple):
    """What an action did to B copies of a probe."""

    state: State
    reward: Tensor  # float32 [B]
    success: Tensor  # bool [B]; counts in the last step of an episode


class Probe(Episodes, ABC):
    """B copies of a task whose episodes all last ``length`` env steps.

    Args:
        num_envs: B.
        length: env steps in an episode, at least 1.
        device: where everything lives; random numbers too.
    """

    metric_names = ("success",)
    ends_by_time: ClassVar[bool] = False  # the last step truncates instead of terminating

    def __init__(self, num_envs: int, *, length: int, device: torch.device | str = "cpu") -> None:
        if length < 1:
            raise ValueError(f"an episode of {length} steps is too short; allowed: at least 1")
        super().__init__(num_envs, shortest=length, device=device)
        self.length = length

    @abstractmethod
    def _judge(self, deals: Deals, state: State, action: Tensor) -> Verdict:
        """What an action does; ``state["t"]`` counts the steps before it."""

    def _act(self, deals: Deals, state: State, action: Tensor) -> Outcome:
        state, reward, success = self._judge(deals, state, action)
        ended = state["t"] == self.length - 1
        never = torch.zeros_like(ended)
        ends = (never, ended) if self.ends_by_time else (ended, never)
        return Outcome(state, reward, *ends, {"success": success.float()})

    def _integers(self, high: int, *size: int, dtype: torch.dtype = torch.int64) -> Tensor:
        """Uniform on 0 … high - 1."""
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

    def _draw(self, num: int) -> Tensors:
        return {"cue": self._integers(self.cues, num)}

    def _begin(self, deals: Deals) -> State:
        return {}

    def _see(self, deals: Deals, state: State) -> Obs:
        t = state["t"]
        later = torch.where(t == self.length - 1, self.cues + 1, self.cues)
        return {"obs": torch.where(t == 0, deals["cue"], later)}

    def _judge(self, deals: Deals, state: State, action: Tensor) -> Verdict:
        right = (action == deals["cue"]) & (state["t"] == self.length - 1)
        return Verdict(state, right.float(), right)


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

    def _draw(self, num: int) -> Tensors:
        return {
            "quarter": self._integers(4, num, self.length + 1),
            "noise": self._integers(64, num, self.side, self.side, dtype=torch.uint8),
        }

    def _begin(self, deals: Deals) -> State:
        return {"right": self._flags(True)}

    def _see(self, deals: Deals, state: State) -> Obs:
        quarter = deals.at("quarter", state["t"]).unsqueeze(1)  # [B, 1]
        half = torch.arange(self.side, device=self.device) // (self.side // 2)  # [64]
        rows, columns = half == quarter // 2, half == quarter % 2  # each [B, 64]
        lit = rows.unsqueeze(2) & columns.unsqueeze(1)  # [B, 64, 64]
        grey = deals["noise"].masked_fill_(lit, 255)
        return {"obs": grey.unsqueeze(-1).expand(-1, -1, -1, 3).contiguous()}

    def _judge(self, deals: Deals, state: State, action: Tensor) -> Verdict:
        hit = action == deals.at("quarter", state["t"])
        right = state["right"] & hit
        return Verdict({**state, "right": right}, hit.float() / self.length, right)

    def render(self, copy: int = 0) -> Any:
        if self._deals is None:
            return None
        return self._see(self._deals, self._state)["obs"][copy].cpu().numpy()


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

    def _draw(self, num: int) -> Tensors:
        return {"mask": self._mask(num)}

    def _begin(self, deals: Deals) -> State:
        return {"mask": deals["mask"], "right": self._flags(True)}

    def _mask(self, num: int) -> Tensor:
        actions = int(self.action_space.n)  # type: ignore[attr-defined]
        chosen = torch.nn.functional.one_hot(self._integers(actions, num), actions).bool()
        return chosen | self._integers(2, num, actions).bool()

    def _see(self, deals: Deals, state: State) -> Obs:
        return {"obs": (state["t"] / self.length).unsqueeze(1), MASK: state["mask"]}

    def _judge(self, deals: Deals, state: State, action: Tensor) -> Verdict:
        allowed = state["mask"].gather(1, action.unsqueeze(1)).squeeze(1)
        right = state["right"] & allowed
        state = {**state, "mask": self._mask(self.num_envs), "right": right}
        return Verdict(state, allowed.float() - 1.0, right)


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

    def _draw(self, num: int) -> Tensors:
        return {"numbers": torch.rand((num, 3), generator=self.generator, device=self.device)}

    def _begin(self, deals: Deals) -> State:
        return {}

    def _see(self, deals: Deals, state: State) -> Obs:
        return {"obs": deals["numbers"]}

    def _judge(self, deals: Deals, state: State, action: Tensor) -> Verdict:
        right = action == deals["numbers"].argmax(1)
        return Verdict(state, right.float(), right)


PROBES: dict[str, type[Recall | Pixels | Masked | OneStep]] = {
    "probe/Recall-v0": Recall,
    "probe/Pixels-v0": Pixels,
    "probe/Masked-v0": Masked,
    "probe/OneStep-v0": OneStep,
}
