"""A wrapper that checks a Gymnasium environment and names its index in every error."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from memrl.envs.adapters.text import tokenized
from memrl.envs.providers import missing_files
from memrl.rollout.spaces import Array, Leaf, leaves

# Kinds of dtypes that are accepted, by the kind of the space's dtype.
_KINDS = {"b": "bui", "u": "bui", "i": "bui", "f": "buif"}


class CheckedEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Flattens the observation to a flat dict and checks it, the reward and both end flags.

    It wraps the single environment (in the worker of an ``AsyncVectorEnv``) for two reasons. A
    vector environment does not report which environment failed, and it cannot put text such as
    MiniGrid's mission into shared memory. Numbers of another dtype are converted to the space's
    dtype if that loses no more than the precision of a float.

    Args:
        env: the environment.
        name: of the environment in errors.
        index: of the environment in its vector environment.
        read_text: convert text to tokens (see `tokenized`); otherwise drop it.
        quiet: hide what `reset` prints.

    Raises:
        ValueError: an observation has another shape or dtype than its space, or a text has no
            tokens; a reward is not a number; an end flag is not a boolean; the environment needs
            something that is not installed.
        RuntimeError: the environment raises any other error.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        *,
        name: str,
        index: int,
        read_text: bool = True,
        quiet: bool = False,
    ) -> None:
        super().__init__(env)
        self._name, self._missing_files = name, missing_files(name.rpartition(":")[2])
        self._who, self._quiet = f"env {index} of {name}", quiet
        space = env.observation_space
        given, self._tokenizers = tokenized(space) if read_text else (space, {})
        self._leaves = leaves(given)
        self.observation_space = spaces.Dict({k: leaf.given for k, leaf in self._leaves.items()})

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        output = redirect_stdout(io.StringIO()) if self._quiet else nullcontext()
        with self._errors_named("reset"), output:
            obs, info = self.env.reset(seed=seed, options=options)
        return self._flat(obs, "reset"), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        with self._errors_named("step"):
            obs, reward, terminated, truncated, info = self.env.step(action)
        return (
            self._flat(obs, "step"),
            float(self._scalar(reward, "the reward", "buif", "a number")),
            bool(self._scalar(terminated, "terminated", "bui", "true or false")),
            bool(self._scalar(truncated, "truncated", "bui", "true or false")),
            info,
        )

    @contextmanager
    def _errors_named(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
            why = f" ({self._missing_files})" if self._missing_files else ""
            raise ValueError(
                f"{self._name} needs a package that is not installed: {error}{why}"
            ) from error
        except Exception as error:
            if isinstance(error, FileNotFoundError) and self._missing_files:
                raise ValueError(f"{self._name}: {error} ({self._missing_files})") from error
            raise RuntimeError(
                f"{self._who}: {verb} raised {type(error).__name__}: {error}"
            ) from error

    def _flat(self, obs: Any, verb: str) -> dict[str, Any]:
        flat = {}
        for key, leaf in self._leaves.items():
            what = f"{self._who}: {verb} returned {key!r}"
            try:
                value = leaf.pick(obs)
                if key in self._tokenizers:
                    value = self._tokenizers[key].encode(value)
                # Copies the array: some environments reuse one buffer, and the reset after the last
                # step of an episode would overwrite its last observation.
                array = np.array(value)
            except (TypeError, KeyError, IndexError, ValueError) as error:
                raise ValueError(f"{what} outside its space: {error}") from error
            flat[key] = _checked(array, leaf, what)
        return flat

    def _scalar(self, value: Any, what: str, kinds: str, allowed: str) -> Any:
        array = np.asarray(value)
        if array.size != 1 or array.dtype.kind not in kinds:
            raise ValueError(f"{self._who}: step returned {what} {value!r}, allowed: {allowed}")
        return array.item()


def _checked(array: Array, leaf: Leaf, what: str) -> Array:
    """The array in the dtype of its space.

    Raises:
        ValueError: the array has another shape, or its numbers do not fit the dtype.
    """
    shape, dtype = leaf.given.shape or (), np.dtype(leaf.given.dtype)
    if array.shape != shape:
        raise ValueError(f"{what} of shape {array.shape}, allowed: {shape}")
    if array.dtype == dtype:
        return array
    if array.dtype.kind not in _KINDS.get(dtype.kind, ""):
        raise ValueError(f"{what} of dtype {array.dtype}, allowed: {dtype}")
    if dtype.kind in "iu" and array.size:
        held = np.iinfo(dtype)
        for extreme in (array.min(), array.max()):
            if not held.min <= extreme <= held.max:
                raise ValueError(
                    f"{what} with {extreme}, allowed: {held.min} … {held.max} ({dtype})"
                )
    with np.errstate(over="ignore"):
        return array.astype(dtype)
