"""A guard around one copy of a Gymnasium task: it names the copy that makes a mistake."""

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

# What an array's numbers may be where its space has booleans, integers or floats.
_KINDS = {"b": "bui", "u": "bui", "i": "bui", "f": "buif"}


class CheckedEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Flattens the observation to its leaves and names the copy that raises or breaks its space.

    It runs next to the environment (in the worker of an ``AsyncVectorEnv``), because a vector
    environment forgets who was wrong, and cannot put a text such as MiniGrid's mission into shared
    memory. Numbers of another type than the space's are converted where that loses nothing but
    digits of a float.

    Args:
        env: one copy.
        name: what to call the environment in errors.
        copy: its index among the copies.
        read_text: make tokens of text (see `tokenized`), or else drop it.
        quiet: keep what a reset prints from the terminal.

    Raises:
        ValueError: an observation of another shape or type than that of its space, or a text that
            has no tokens; a reward that is no number; an end that is no truth value; something
            that the environment needs and that is not installed.
        RuntimeError: anything else that the environment itself raises.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        *,
        name: str,
        copy: int,
        read_text: bool = True,
        quiet: bool = False,
    ) -> None:
        super().__init__(env)
        self._name, self._missing_files = name, missing_files(name.rpartition(":")[2])
        self._who, self._quiet = f"copy {copy} of {name}", quiet
        space = env.observation_space
        given, self._tokenizers = tokenized(space) if read_text else (space, {})
        self._leaves = leaves(given)
        self.observation_space = spaces.Dict({k: leaf.given for k, leaf in self._leaves.items()})

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        hush = redirect_stdout(io.StringIO()) if self._quiet else nullcontext()
        with self._named("reset"), hush:
            obs, info = self.env.reset(seed=seed, options=options)
        return self._flat(obs, "reset"), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        with self._named("step"):
            obs, reward, terminated, truncated, info = self.env.step(action)
        return (
            self._flat(obs, "step"),
            float(self._scalar(reward, "the reward", "buif", "a number")),
            bool(self._scalar(terminated, "terminated", "bui", "true or false")),
            bool(self._scalar(truncated, "truncated", "bui", "true or false")),
            info,
        )

    @contextmanager
    def _named(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
            why = f" ({self._missing_files})" if self._missing_files else ""
            raise ValueError(f"{self._name} needs what is not installed: {error}{why}") from error
        except Exception as error:
            if isinstance(error, FileNotFoundError) and self._missing_files:
                raise ValueError(f"{self._name}: {error} ({self._missing_files})") from error
            raise RuntimeError(
                f"{self._who}: {verb} raised {type(error).__name__}: {error}"
            ) from error

    def _flat(self, obs: Any, verb: str) -> dict[str, Any]:
        flat = {}
        for key, leaf in self._leaves.items():
            what = f"{self._who}: {verb} gave {key!r}"
            try:
                value = leaf.pick(obs)
                if key in self._tokenizers:
                    value = self._tokenizers[key].encode(value)
                # A copy: some environments reuse one buffer, and the reset that follows the last
                # step of an episode would overwrite its last observation.
                array = np.array(value)
            except (TypeError, KeyError, IndexError, ValueError) as error:
                raise ValueError(f"{what} outside its space: {error}") from error
            flat[key] = _checked(array, leaf, what)
        return flat

    def _scalar(self, value: Any, what: str, kinds: str, allowed: str) -> Any:
        array = np.asarray(value)
        if array.size != 1 or array.dtype.kind not in kinds:
            raise ValueError(f"{self._who}: step gave {what} {value!r}, which is not {allowed}")
        return array.item()


def _checked(array: Array, leaf: Leaf, what: str) -> Array:
    """The array in the type of its space, where it has its shape and can have its type."""
    shape, dtype = leaf.given.shape or (), np.dtype(leaf.given.dtype)
    if array.shape != shape:
        raise ValueError(f"{what} of shape {array.shape}, its space says {shape}")
    if array.dtype == dtype:
        return array
    if array.dtype.kind not in _KINDS.get(dtype.kind, ""):
        raise ValueError(f"{what} of type {array.dtype}, its space says {dtype}")
    if dtype.kind in "iu" and array.size:
        held = np.iinfo(dtype)
        for extreme in (array.min(), array.max()):
            if not held.min <= extreme <= held.max:
                raise ValueError(f"{what} with {extreme}, which {dtype} of its space cannot hold")
    with np.errstate(over="ignore"):
        return array.astype(dtype)
