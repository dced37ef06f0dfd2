"""One episode, kept whole: frames, actions, rewards and what the memory held at every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memrl.evaluation.acting import Acting
from memrl.rollout.env import BatchedEnv, Obs, Transition
from memrl.run.agent import Agent

Picture: TypeAlias = NDArray[np.uint8]  # [H, W, 3]


class Recording(NamedTuple):
    """An episode of T steps. Entry t belongs to the observation from which action t was chosen."""

    frames: list[Picture | None]  # T; None where the environment draws nothing
    views: list[Picture | None]  # T; what the agent sees, where that can be drawn
    last_view: Picture | None  # … after the last action
    observations: list[dict[str, NDArray[Any]]]  # T, of environment 0
    last_observation: dict[str, NDArray[Any]]  # … after the last action
    actions: NDArray[Any]  # [T] or [T, D]
    rewards: NDArray[np.float64]  # [T]; after the action
    memory: dict[str, NDArray[np.float64]]  # diagnostics, each [T, N] or [T, R, N]
    cue_step: int | None  # first step whose observation showed the cue; None if none did
    success: bool | None  # None where the task has no success, or another number than 0 and 1
    ended: bool  # False: it was cut off
    seed: int

    @property
    def length(self) -> int:
        """Steps T."""
        return len(self.rewards)


def ending(recording: Recording) -> str:
    """How an episode ended: solved, failed, or its return; "so far" where it was cut off."""
    returned = f"return {recording.rewards.sum():.3g}"
    if not recording.ended:
        return f"{returned} so far"
    return {True: "solved", False: "failed", None: returned}[recording.success]


@torch.no_grad()
def record_episode(
    agent: Agent,
    env: BatchedEnv,
    acting: Acting,
    *,
    view: Callable[[Obs], Picture | None] | None = None,
) -> Recording:
    """Play one episode in environment 0 and keep what happened.

    ``metrics["cue_seen"]``, where the environment reports it while an episode runs, dates the
    cue: it speaks of the observation that a step led to. A cue in view from the beginning is
    therefore dated 1, the first step that can report it.

    Args:
        agent: its acting memory is used, its training state is untouched.
        env: a batch of one suffices; it is reset.
        acting: how, and for how long.
        view: draws what the agent sees, from a batch of observations; None leaves views out.
    """
    acting.begin(agent)
    obs = env.reset(acting.seed)
    given: Obs | Transition = obs
    kept = _Kept()
    for t in range(acting.max_steps):
        kept.frames.append(_picture(env.render(0)))
        kept.views.append(view(obs) if view is not None else None)
        kept.observations.append(_first(obs))
        action = agent.act(given)
        kept.actions.append(_numpy(action[0]))
        kept.memory.append({name: _numpy(value[0]) for name, value in agent.memory().items()})
        step = env.step(action)
        kept.rewards.append(float(step.reward[0]))
        kept.last_view = view(step.final_obs) if view is not None else None
        kept.last_observation = _first(step.final_obs)
        if kept.cue_step is None and float(step.metrics.get("cue_seen", _NEVER)[0]) == 1:
            kept.cue_step = t + 1
        if bool(step.ended[0]):
            return kept.recording(acting.seed, step.metrics, ended=True)
        obs, given = step.obs, step
    return kept.recording(acting.seed, {}, ended=False)


_NEVER = torch.zeros(1)


class _Kept:
    def __init__(self) -> None:
        self.frames: list[Picture | None] = []
        self.views: list[Picture | None] = []
        self.last_view: Picture | None = None
        self.observations: list[dict[str, NDArray[Any]]] = []
        self.last_observation: dict[str, NDArray[Any]] = {}
        self.actions: list[NDArray[Any]] = []
        self.rewards: list[float] = []
        self.memory: list[dict[str, NDArray[Any]]] = []
        self.cue_step: int | None = None

    def recording(self, seed: int, metrics: dict[str, Tensor], *, ended: bool) -> Recording:
        success = float(metrics["success"][0]) if "success" in metrics else float("nan")
        memory = {
            name: np.stack([np.atleast_1d(entry[name]) for entry in self.memory]).astype(np.float64)
            for name in self.memory[0]
        }
        cue_step = self.cue_step if (self.cue_step or 0) < len(self.rewards) else None
        return Recording(
            frames=self.frames,
            views=self.views,
            last_view=self.last_view,
            observations=self.observations,
            last_observation=self.last_observation,
            actions=np.stack(self.actions),
            rewards=np.array(self.rewards),
            memory=memory,
            cue_step=cue_step,
            success=bool(success) if success in (0.0, 1.0) else None,
            ended=ended,
            seed=seed,
        )


def _first(obs: Obs) -> dict[str, NDArray[Any]]:
    """The observation of environment 0, which is recorded."""
    return {name: _numpy(value[0]) for name, value in obs.items()}


def _numpy(value: Tensor) -> NDArray[Any]:
    """A copy, since an environment may write its next step into the same tensor."""
    value = value.detach().cpu()
    return np.array(value.float().numpy() if value.is_floating_point() else value.numpy())


def _picture(frame: Any) -> Picture | None:
    """A copy, likewise."""
    return None if frame is None else np.array(frame, dtype=np.uint8)
