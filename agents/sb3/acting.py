"""The methods of SB3's policies, with the memory's state as an argument and a result."""

from __future__ import annotations

import warnings
from abc import ABC
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import ArrayLike
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor, nn

from memrl.agents.sb3.distribution import as_sb3, by_row
from memrl.agents.sb3.returned_states import ReturnedStates
from memrl.agents.sb3.state_check import check_state
from memrl.agents.sb3.vec_env import ObservationConverter, mask_size
from memrl.nn.encoder import Encoder
from memrl.nn.normalise import RunningNorm
from memrl.policies.actor_critic import Policy, PolicyUnrolled
from memrl.rollout.env import Obs
from memrl.rollout.spaces import MASK, Array, decode_action, encode_action

FORGOT_STATE = (
    "predict was called again without the state that it returned, so the memory starts empty at "
    "every step; keep it: action, state = model.predict(obs, state=state, episode_start=dones)"
)
FORGOT_MASKS = (
    "predict was called without action_masks, though the training environments have them, so "
    "forbidden actions are possible: pass action_masks, or evaluate with evaluate_policy and "
    "EvalCallback of memrl.agents.sb3"
)


class _Given(NamedTuple):
    """Arguments of a method as tensors."""

    obs: Obs  # each [T, B, ...]
    state: Any  # leaves [B, ...]
    start: Tensor  # bool [T, B]


class ActingPolicy(BasePolicy, ABC):
    """SB3's methods over memrl's network; the subclass builds, saves and loads it.

    Where ``obs`` [N, ...] goes with a state of B = N rows, it is one step of every row. Otherwise N
    is a multiple of B, and ``obs`` holds B sequences, the steps of a row together, as in
    sb3-contrib's recurrent policies. ``episode_starts`` [N] is 1 or True where an episode starts.
    """

    net: Policy
    net_action_space: spaces.Space[Any]
    converter: ObservationConverter
    generator: torch.Generator
    masks: int
    return_norm: RunningNorm | None
    _returned: ReturnedStates

    def initial_state(self, batch_size: int) -> Any:
        """The memory's state before an episode, leaves [B, ...]."""
        return self.net.initial_state(batch_size)

    def forward(
        self,
        obs: Any,
        state: Any = None,
        episode_starts: Any = None,
        deterministic: bool = False,
        action_masks: Any = None,
    ) -> tuple[Tensor, Tensor, Tensor, Any]:
        """Act: actions [N, ...], values [N, 1], log-probabilities [N], and the next state.

        Actions are unclipped and count from zero; values are in units of reward.
        """
        given = self._given(obs, state, episode_starts, action_masks)
        out = self.net(*given)
        chosen = out.actions.mode() if deterministic else out.actions.sample(self.generator)
        actions = by_row(chosen)
        shaped = actions.reshape(len(actions), *(self.action_space.shape or ()))
        return shaped, self._values(out), by_row(out.actions.log_prob(chosen)), out.state

    def evaluate_actions(
        self,
        obs: Any,
        actions: Any,
        state: Any = None,
        episode_starts: Any = None,
        action_masks: Any = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Values [N, 1], log-probabilities [N] and entropies [N] of ``actions``, with gradients."""
        given = self._given(obs, state, episode_starts, action_masks)
        out = self.net(*given)
        T, B = given.start.shape
        taken = encode_action(self.net_action_space, actions, self.device)
        taken = taken.unflatten(0, (B, T)).transpose(0, 1)  # type: ignore[no-untyped-call]
        log_prob = out.actions.log_prob(taken)
        return self._values(out), by_row(log_prob), by_row(out.actions.entropy())

    def get_distribution(
        self, obs: Any, state: Any = None, episode_starts: Any = None, action_masks: Any = None
    ) -> tuple[Distribution, Any]:
        """SB3's distribution over N actions, and the next state."""
        out = self.net(*self._given(obs, state, episode_starts, action_masks))
        return as_sb3(out.actions, self.action_space), out.state

    def predict_values(self, obs: Any, state: Any = None, episode_starts: Any = None) -> Tensor:
        """The critic's values [N, 1], in units of reward."""
        return self._values(self.net(*self._given(obs, state, episode_starts, None)))

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: ArrayLike | None = None,
        deterministic: bool = False,
        action_masks: ArrayLike | None = None,
    ) -> tuple[Array, Any]:
        """Actions and the memory's next state, for one observation or a batch.

        Args:
            observation: one observation of the environment, or a batch [B, ...].
            state: returned by the last call; None in the first call.
            episode_start: bool [B], True where an episode starts; the state of that row is reset.
            deterministic: return the most probable actions instead of sampled ones.
            action_masks: bool, True where an action is allowed, as in sb3-contrib; None: use the
                mask in the observation, if there is one.

        Raises:
            ValueError: an observation is outside its space, or the state is not of this policy, or
                of another batch size.
        """
        self.set_training_mode(False)
        self._check_observation(observation)
        single = self.converter.is_single(observation)
        started = None if episode_start is None else np.asarray(episode_start, bool)
        obs = self._obs(observation, single, action_masks)
        batch = len(next(iter(obs.values())))
        fresh, given = state is None, state
        if self.masks and MASK not in obs:
            warnings.warn(FORGOT_MASKS, UserWarning, stacklevel=3)
        state = self.net.initial_state(batch) if fresh else state
        check_state(state, self.net.initial_state(1), batch)
        self._warn_if_forgotten(given, started)
        begins = np.full(batch, fresh) if started is None else started
        if begins.size != batch:
            raise ValueError(
                f"episode_start has {begins.size} rows, allowed: {batch}, as the observation"
            )
        start = torch.as_tensor(begins.reshape(batch), device=self.device)
        with torch.no_grad():
            out = self.net.step(obs, state, start)
        if fresh:
            self._returned.add(out.state)
        chosen = out.actions.mode() if deterministic else out.actions.sample(self.generator)
        actions = decode_action(self.action_space, chosen)
        return (np.asarray(actions[0]) if single else actions), out.state

    @property
    def action_net(self) -> nn.Linear:
        """The actor's last layer."""
        return self.net.actor.layer

    @property
    def value_net(self) -> nn.Linear:
        """The critic's last layer; its output is standardised if ``normalize_returns`` is on."""
        return self.net.critic

    @property
    def log_std(self) -> nn.Parameter:
        """Of continuous actions; another action space has none (AttributeError)."""
        if self.net.actor.log_std is None:
            raise AttributeError(f"{type(self.action_space).__name__} actions have no log_std")
        return self.net.actor.log_std

    @property
    def features_extractor(self) -> Any:
        """What turns observations into features: memrl's encoder."""
        return self.net.encoder

    @features_extractor.setter
    def features_extractor(self, value: Any) -> None:
        assert value is None  # SB3's constructor has none yet

    def extract_features(self, obs: Any, features_extractor: Any = None) -> Tensor:
        """Features [N, F] of observations [N, ...]."""
        encoder: Encoder = features_extractor or self.net.encoder
        return encoder(self._obs(_on_host(obs), False, None))  # type: ignore[no-any-return]

    @property
    def features_dim(self) -> int:
        """The width of the memory's input."""
        return self.net.encoder.features_dim

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        raise NotImplementedError("a policy with a memory acts through predict(observation, state)")

    def _given(self, obs: Any, state: Any, starts: Any, masks: Any) -> _Given:
        """Arguments as sequences; raises ValueError where their sizes do not fit."""
        read = self._obs(_on_host(obs), False, None if masks is None else _on_host(masks))
        N = len(next(iter(read.values())))
        state = self.net.initial_state(N) if state is None else state
        B = check_state(state, self.net.initial_state(1), None) or N
        if N % B:
            raise ValueError(f"the state has {B} rows, allowed: {N}, or a divisor of it")
        start = torch.zeros(N) if starts is None else torch.tensor(np.array(_on_host(starts)))
        if start.numel() != N:
            raise ValueError(f"episode_starts has {start.numel()} rows, allowed: {N}")
        parts = {key: _by_step(value, B) for key, value in read.items()}
        return _Given(parts, state, _by_step(start.reshape(N).bool().to(self.device), B))

    def _values(self, out: PolicyUnrolled) -> Tensor:
        values = by_row(out.value).unsqueeze(-1)
        return values if self.return_norm is None else self.return_norm.inverse(values)

    def _check_observation(self, observation: Any) -> None:
        """Raise ValueError for an observation of another type than the space's."""
        if isinstance(observation, tuple):
            raise ValueError(
                "the observation is a tuple, allowed: its first part; obs, info = env.reset()"
            )
        space = self.observation_space
        if isinstance(space, spaces.Dict) != isinstance(observation, Mapping):
            given, wanted = type(observation).__name__, type(space).__name__
            raise ValueError(
                f"the observation is of type {given}, allowed: one of its space, a {wanted}"
            )
        if isinstance(space, spaces.Dict):
            for name in (leaf.path[0] for leaf in self.converter.leaves.values()):
                if name not in observation:
                    raise ValueError(f"the observation has no entry {name!r}")

    def _obs(self, observation: Any, single: bool, masks: ArrayLike | None) -> Obs:
        if single:
            observation = (
                {key: np.asarray(part)[None] for key, part in observation.items()}
                if isinstance(observation, Mapping)
                else np.asarray(observation)[None]
            )
        obs = {key: part.to(self.device) for key, part in self.converter.read(observation).items()}
        if masks is not None:
            given, batch = np.asarray(masks, bool), len(next(iter(obs.values())))
            size = mask_size(self.action_space)
            if given.size != batch * size:
                raise ValueError(
                    f"action_masks has shape {given.shape}, allowed: ({batch}, {size})"
                )
            obs[MASK] = torch.as_tensor(given.reshape(batch, size), device=self.device)
        return obs

    def _warn_if_forgotten(self, state: Any, episode_start: Array | None) -> None:
        """Warn if a call within an episode lacks a state, and one that was returned is lost."""
        if state is not None:
            self._returned.hand_back(state)
            return
        has_state = self.net.core.horizon != 0
        begins = episode_start is not None and bool(np.all(episode_start))
        if self._returned.lost() and has_state and not begins:
            warnings.warn(FORGOT_STATE, UserWarning, stacklevel=4)


def _on_host(given: Any) -> Any:
    """Tensors as arrays, in a dict too."""
    if isinstance(given, Mapping):
        return {key: _on_host(part) for key, part in given.items()}
    return given.detach().cpu().numpy() if isinstance(given, Tensor) else given


def _by_step(x: Tensor, rows: int) -> Tensor:
    """[N, ...] as [T, B, ...], the inverse of `by_row`."""
    return x.unflatten(0, (rows, -1)).transpose(0, 1)  # type: ignore[no-untyped-call, no-any-return]
