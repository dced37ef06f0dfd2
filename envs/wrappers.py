"""The previous action and reward as part of the observation."""

from __future__ import annotations

from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.rows import where_rows
from memrl.rollout.env import BatchedEnv, Carried, Cue, Obs, Transition, copied
from memrl.rollout.spaces import brief_space


def with_previous(env: BatchedEnv, *, action: bool, reward: bool, antialias: bool) -> BatchedEnv:
    """``Previous`` around an environment, or the environment itself where nothing is added."""
    if not (action or reward or antialias):
        return env
    return Previous(env, action=action, reward=reward, antialias=antialias)


@final
class Previous(BatchedEnv):
    """Adds the previous action and reward to the observation: ``prev_action``, ``prev_reward``.

    The first observation of an episode has "none yet" and 0; its last one (``final_obs``) has the
    last action and reward. As entries of the observation they are stored and exported with it, and
    are correct at chunk boundaries. The reward is the environment's and excludes intrinsic
    bonuses: a bonus would tell a policy without memory where it has been.

    ========================  =================================================  ============
    action space              ``prev_action``                                    none yet
    ========================  =================================================  ============
    ``Discrete(n)``           int64 [B], ``Discrete(n + 1)``                     n
    ``MultiDiscrete(sizes)``  int64 [B, D], ``MultiDiscrete(sizes + 1)``         sizes
    ``MultiBinary(D)``        int64 [B, D], ``MultiDiscrete([3] * D)``           2
    ``Box`` of D numbers      float32 [B, D], clipped to bounds widened by zero  0
    ========================  =================================================  ============

    ``prev_reward`` is float32 [B, 1].

    With ``antialias`` a flag marks the first observation, as in POPGym's paper: ``is_t0`` (int64
    [B], 1 in the first observation and 0 later). "None yet" is then 0, the same as action 0, and
    ``prev_action`` has the space of the action.

    Args:
        env: the environment.
        action: add ``prev_action``.
        reward: add ``prev_reward``.
        antialias: add ``is_t0``. POPGym's wrappers PreviousAction, Antialias and Flatten give the
            same as ``action`` and ``antialias``, as concatenated one-hot vectors.

    Raises:
        ValueError: the observation already has one of these keys, or the action space has no
            previous action.
    """

    def __init__(
        self,
        env: BatchedEnv,
        *,
        action: bool = True,
        reward: bool = True,
        antialias: bool = False,
    ) -> None:
        self.env = env
        self.num_envs, self.device = env.num_envs, env.device
        self.action_space = env.action_space
        self.metric_names, self.exact_resume = env.metric_names, env.exact_resume
        self.has_goals = env.has_goals
        self._start: Obs = {}
        added: dict[str, spaces.Space[Any]] = {}
        if action:
            added["prev_action"], start = previous_action(
                env.action_space, own_symbol=not antialias
            )
            self._start["prev_action"] = self._rows(start)
        if reward:
            added["prev_reward"] = spaces.Box(-np.inf, np.inf, (1,), np.float32)
            self._start["prev_reward"] = self._rows(torch.zeros(1))
        if antialias:
            added["is_t0"] = spaces.Discrete(2)
            self._start["is_t0"] = self._rows(torch.tensor(1))
        for key in added:
            refuse_key(key, env.observation_space)
        self.observation_space = spaces.Dict({**env.observation_space.spaces, **added})
        self._previous = self._start
        self._bounds: tuple[Tensor, Tensor] | None = None
        if isinstance(env.action_space, spaces.Box):
            low, high = (
                torch.as_tensor(env.action_space.low),
                torch.as_tensor(env.action_space.high),
            )
            self._bounds = low.to(env.device), high.to(env.device)

    def reset(self, seed: int | None = None) -> Obs:
        self._previous = self._start
        return self._with_previous(self.env.reset(seed))

    def step(self, action: Tensor) -> Transition:
        transition = self.env.step(action)
        last = {key: self._last(key, action, transition.reward) for key in self._start}
        is_first = transition.ended
        if transition.valid is not None:
            is_first = is_first | ~transition.valid
        self._previous = {
            key: where_rows(is_first, self._start[key], now) for key, now in last.items()
        }
        return transition._replace(
            obs=self._with_previous(transition.obs),
            final_obs={**transition.final_obs, **last},
        )

    def state_dict(self) -> dict[str, Any]:
        return {"env": self.env.state_dict(), "previous": copied(self._previous)}

    def load_state_dict(self, state: dict[str, Any]) -> Obs:
        obs = self.env.load_state_dict(state["env"])
        self._previous = self._start
        if self.exact_resume:  # otherwise new episodes start
            self._previous = {k: v.to(self.device) for k, v in state["previous"].items()}
        return self._with_previous(obs)

    def carried(self) -> Carried | None:
        inner = self.env.carried()
        if inner is None:
            return None
        return inner._replace(state=(inner.state, tuple(self._previous[k] for k in self._start)))

    def carry(self, state: Any) -> None:
        inner, previous = state
        self.env.carry(inner)
        self._previous = dict(zip(self._start, previous, strict=True))

    def goal_reward(self, achieved: Tensor, desired: Tensor) -> tuple[Tensor, Tensor]:
        return self.env.goal_reward(achieved, desired)

    def cue(self) -> Cue | None:
        return self.env.cue()

    def choice(self, action: Tensor) -> Tensor | None:
        return self.env.choice(action)

    def render(self, index: int = 0) -> Any:
        return self.env.render(index)

    def close(self) -> None:
        self.env.close()

    def _last(self, key: str, action: Tensor, reward: Tensor) -> Tensor:
        if key == "prev_reward":
            return reward.unsqueeze(-1).clone()
        if key == "is_t0":
            return torch.zeros_like(self._start[key])
        return action.clone() if self._bounds is None else action.clamp(*self._bounds)

    def _with_previous(self, obs: Obs) -> Obs:
        return {**obs, **copied(self._previous)}

    def _rows(self, value: Tensor) -> Tensor:
        return value.to(self.device).expand(self.num_envs, *value.shape).clone()


def refuse_key(key: str, space: spaces.Dict) -> None:
    """Raise ValueError if an observation has a key that a wrapper adds."""
    if key in space.keys():
        raise ValueError(f"the observation already has the key {key!r}: {brief_space(space)}")


def previous_action(
    space: spaces.Space[Any], *, own_symbol: bool = True
) -> tuple[spaces.Space[Any], Tensor]:
    """The space of ``prev_action`` and its value for "none yet".

    With ``own_symbol`` this value is an additional one; otherwise it is 0.
    """
    match space:
        case spaces.Discrete():
            sizes = np.array(space.n)
        case spaces.MultiDiscrete():
            sizes = space.nvec
        case spaces.MultiBinary():
            sizes = np.full(space.shape, 2)
        case spaces.Box():
            low, high = np.minimum(space.low, 0), np.maximum(space.high, 0)
            return spaces.Box(low, high, dtype=np.float32), torch.zeros(space.shape)
        case _:
            raise ValueError(
                f"the action space is {brief_space(space)}, allowed with prev_action: Discrete, "
                "MultiDiscrete, MultiBinary, Box"
            )
    none = torch.as_tensor(sizes).long() * own_symbol
    sizes = sizes + own_symbol
    return spaces.MultiDiscrete(sizes) if sizes.ndim else spaces.Discrete(int(sizes)), none
