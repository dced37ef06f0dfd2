"""A rollout under the names and shapes of Stable-Baselines3's rollout buffer."""

from __future__ import annotations

from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from memrl.agents.ppo.advantages import compute_advantages
from memrl.agents.sb3.vec_env import ObservationConverter
from memrl.nn.normalise import RunningNorm
from memrl.rollout.spaces import Array, is_channels_first, is_symbols
from memrl.rollout.storage import Rollout


@final
class RolloutBuffer:
    """NumPy arrays [T, B, ...] over memrl's `Rollout`, whose own names it has too.

    On the CPU the arrays are views: what is written into them is learned from. Arrays that are
    copies (``values`` in units of reward, ``episode_starts``, and all arrays on another device)
    cannot be written to.
    """

    def __init__(
        self,
        storage: Rollout,
        converter: ObservationConverter,
        action_space: spaces.Space[Any],
        return_norm: RunningNorm | None,
    ) -> None:
        self.storage, self.converter, self.action_space = storage, converter, action_space
        self.return_norm = return_norm
        self.gamma, self.gae_lambda = 0.99, 0.95  # the model's, set at the end of each rollout
        self.buffer_size, self.n_envs = storage.start.shape
        self.pos, self.full = 0, False
        self._returns = torch.zeros_like(storage.value)

    def __getattr__(self, name: str) -> Any:
        if "storage" not in self.__dict__:  # while a copy is made
            raise AttributeError(name)
        return getattr(self.storage, name)

    def compute_returns_and_advantage(self, last_values: Any = None, dones: Any = None) -> None:
        """Compute advantages and returns from the rewards that are stored now.

        Args:
            last_values: [B] of the observations after the rollout, in units of reward; None: the
                critic's.
            dones: [B] of the last step; the rollout has them already.
        """
        norm, storage = self.return_norm, self.storage
        if last_values is not None:
            raw = torch.as_tensor(last_values, device=storage.value.device).reshape(-1)
            raw = raw.to(storage.value.dtype)
            storage.last_value.copy_(raw if norm is None else norm(raw.unsqueeze(-1)).squeeze(-1))
        self._returns = compute_advantages(
            storage, gamma=self.gamma, lam=self.gae_lambda, return_norm=norm
        )

    def set_targets(self) -> Tensor:
        """Take the critic's targets from ``returns``; gives the returns [T, B] in reward units."""
        norm, returns = self.return_norm, self._returns
        self.storage.target = returns if norm is None else norm(returns.unsqueeze(-1)).squeeze(-1)
        return returns

    def value_column(self, t: int) -> Tensor:
        """The critic's values [B, 1] at step ``t``, in units of reward."""
        values, norm = self.storage.value[t].unsqueeze(-1), self.return_norm
        self._shown = values.clone() if norm is None else norm.inverse(values)
        return self._shown.clone()

    def set_choice(self, t: int, actions: Array, values: Tensor) -> None:
        """Store actions [B, ...], and values [B, 1] that differ from those of `value_column`."""
        storage, norm = self.storage, self.return_norm
        kept = storage.action[t]
        storage.action[t] = torch.as_tensor(actions, device=kept.device).reshape(kept.shape)
        if not torch.equal(values, self._shown):
            storage.value[t] = (values if norm is None else norm(values)).squeeze(-1)
        self.pos = t + 1

    def size(self) -> int:
        """The number of steps that are stored."""
        return self.buffer_size if self.full else self.pos

    @property
    def observations(self) -> Any:
        """As the environments returned them: one array, or a dict of arrays."""
        keys = self.converter.leaves
        arrays = {key: self._observation(key) for key in keys}
        given = self.converter.given
        return arrays if isinstance(given, spaces.Dict) else next(iter(arrays.values()))

    @property
    def actions(self) -> Array:
        """[T, B, D]; a Discrete action has D = 1 and counts from zero."""
        return _array(self.storage.action).reshape(self.buffer_size, self.n_envs, -1)

    @property
    def rewards(self) -> Array:
        """The environments' rewards; a truncated step's bootstrap is not in them."""
        return _array(self.storage.reward)

    @property
    def values(self) -> Array:
        """The critic's values in units of reward."""
        if self.return_norm is None:
            return _array(self.storage.value)
        raw = self.return_norm.inverse(self.storage.value.unsqueeze(-1)).squeeze(-1)
        return _read_only(_array(raw))

    @property
    def log_probs(self) -> Array:
        """Log-probabilities of the actions when they were taken."""
        return _array(self.storage.log_prob)

    @property
    def advantages(self) -> Array:
        """Generalised advantage estimates."""
        return _array(self.storage.advantage)

    @property
    def returns(self) -> Array:
        """Advantages plus values, in units of reward."""
        return _array(self._returns)

    @property
    def episode_starts(self) -> Array:
        """1.0 where a step opens an episode."""
        return _read_only(_array(self.storage.start).astype(np.float32))

    def _observation(self, key: str) -> Array:
        values, leaf = _array(self.storage.obs[key]), self.converter.leaves[key]
        if is_channels_first(leaf.given):
            return np.moveaxis(values, -1, 2)
        start = np.asarray(getattr(leaf.given, "start", 0))
        if isinstance(leaf.given, spaces.Box) and is_symbols(leaf.given):
            values = _read_only(values + leaf.given.low.reshape(values.shape[2:]))
        elif start.any():
            values = _read_only(values + start.reshape(-1) if leaf.given.shape else values + start)
        return values.reshape(self.buffer_size, self.n_envs, *(leaf.given.shape or (1,)))


def _array(values: Tensor) -> Array:
    """A view, or a copy that cannot be written to where memory is not shared."""
    array: Array = values.detach().cpu().numpy()
    return array if values.device.type == "cpu" else _read_only(array)


def _read_only(array: Array) -> Array:
    array.flags.writeable = False
    return array
