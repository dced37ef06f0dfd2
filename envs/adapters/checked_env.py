"""A wrapper that checks a Gymnasium environment and names its index in every error."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from memrl.envs.adapters.infos import known_info
from memrl.envs.adapters.text import tokenized
from memrl.envs.providers import missing_files
from memrl.errors import EnvError, EnvOutputError, shortened
from memrl.plugins import own_error
from memrl.rollout.masks import MASK_METHOD, mask_array, mask_size
from memrl.rollout.spaces import MASK, Array, Leaf, leaves

# Kinds of dtypes that are accepted, by the kind of the space's dtype.
_KINDS = {"b": "bui", "u": "bui", "i": "bui", "f": "buif"}


_OLD_GYM = (
    "; an environment written for Gym before 0.26 can be wrapped: "
    "shimmy.GymV21CompatibilityV0(env=env)"
)


class CheckedEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Flattens the observation to a flat dict and checks it, the reward and both end flags.

    It wraps the single environment (in the worker of an ``AsyncVectorEnv``) for two reasons. A
    vector environment does not report which environment failed, and it cannot put text such as
    MiniGrid's mission into shared memory. Numbers of another dtype are converted to the space's
    dtype if that loses no more than the precision of a float. Of the info, only what memrl reads is
    left (see `known_info`); a method ``action_masks`` is asked for the mask that an info lacks. An
    environment that cannot be closed is warned about.

    Args:
        env: the environment.
        name: of the environment in errors.
        index: of the environment in its vector environment.
        read_text: convert text to tokens (see `tokenized`); otherwise drop it.
        quiet: hide what `reset` prints.

    Raises:
        EnvOutputError: an observation has another shape or dtype than its space, or a text has no
            tokens; a reward is not a number; an end flag is not a boolean; an action mask has
            another length; `reset` or `step` returns another number of values, as in old Gym.
        ValueError: the environment needs something that is not installed.
        EnvError: the environment raises any other error, or exits.
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
        with self._errors_named("observation_space"):
            space = env.observation_space
        with self._errors_named("action_space"):
            self._mask_size = mask_size(env.action_space)
        given, self._tokenizers = tokenized(space) if read_text else (space, {})
        self._leaves = leaves(given)
        self.observation_space = spaces.Dict({k: leaf.given for k, leaf in self._leaves.items()})
        asks = self._mask_size is not None and MASK not in self._leaves
        self._asks_for_masks = asks and env.has_wrapper_attr(MASK_METHOD)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        output = redirect_stdout(io.StringIO()) if self._quiet else nullcontext()
        with self._errors_named("reset"), output:
            obs, info = self._reset_values(self.env.reset(seed=seed, options=options))
        return self._flat(obs, "reset"), self._known(info, "reset")

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        with self._errors_named("step"):
            obs, reward, terminated, truncated, info = self._step_values(self.env.step(action))
        return (
            self._flat(obs, "step"),
            float(self._scalar(reward, "the reward", "buif", "a number")),
            bool(self._scalar(terminated, "terminated", "bui", "true or false")),
            bool(self._scalar(truncated, "truncated", "bui", "true or false")),
            self._known(info, "step"),
        )

    def render(self) -> Any:
        with self._errors_named("render"):
            return self.env.render()

    def close(self) -> None:
        try:
            self.env.close()
        except (Exception, SystemExit) as error:  # what was learned and measured is worth more
            warnings.warn(f"{self._who}: close raised {own_error(error)}", stacklevel=2)

    def _known(self, info: Any, verb: str) -> dict[str, Any]:
        known = known_info(info, self._mask_size, self._who, verb)
        if self._asks_for_masks and self._mask_size is not None and MASK not in known:
            with self._errors_named(MASK_METHOD):
                mask = self.env.get_wrapper_attr(MASK_METHOD)()
            what = f"{self._who}: {MASK_METHOD} returned a mask"
            known[MASK] = mask_array(mask, self._mask_size, what)
        return known

    def _reset_values(self, values: Any) -> tuple[Any, Any]:
        if isinstance(values, tuple) and len(values) == 2 and isinstance(values[1], Mapping | None):
            return values
        raise EnvOutputError(
            f"{self._who}: reset returned {_told(values)}, allowed: a tuple of the observation and "
            f"the info (a dict){_OLD_GYM}"
        )

    def _step_values(self, values: Any) -> Any:
        if isinstance(values, tuple | list) and len(values) == 5:
            return values
        raise EnvOutputError(
            f"{self._who}: step returned {_told(values)}, allowed: 5, the observation, the reward, "
            f"terminated, truncated and the info{_OLD_GYM}"
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
        except EnvOutputError:
            raise
        except (Exception, SystemExit) as error:
            if isinstance(error, FileNotFoundError) and self._missing_files:
                raise ValueError(f"{self._name}: {error} ({self._missing_files})") from error
            hint = _OLD_GYM if _is_old_gym(error) else ""
            raise EnvError(f"{self._who}: {verb} raised {own_error(error)}{hint}") from error

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
                raise EnvOutputError(f"{what} outside its space: {error}") from error
            flat[key] = _checked(array, leaf, what)
        return flat

    def _scalar(self, value: Any, what: str, kinds: str, allowed: str) -> Any:
        array = np.asarray(value)
        if array.size != 1 or array.dtype.kind not in kinds:
            raise EnvOutputError(
                f"{self._who}: step returned {what} {shortened(repr(value))}, allowed: {allowed}"
            )
        return array.item()


def _told(values: Any) -> str:
    if isinstance(values, tuple | list):
        return f"{len(values)} values"
    return f"a {type(values).__name__}"


def _is_old_gym(error: BaseException) -> bool:
    """Whether a wrapper unpacked what an environment of old Gym returned, or handed it a seed."""
    text = str(error)
    return "expected 5, got 4" in text or "unexpected keyword argument 'seed'" in text


def _checked(array: Array, leaf: Leaf, what: str) -> Array:
    """The array in the dtype of its space.

    Raises:
        EnvOutputError: the array has another shape, or its numbers do not fit the dtype.
    """
    shape, dtype = leaf.given.shape or (), np.dtype(leaf.given.dtype)
    if array.shape != shape:
        raise EnvOutputError(f"{what} of shape {array.shape}, allowed: {shape}")
    if array.dtype == dtype:
        return array
    if array.dtype.kind not in _KINDS.get(dtype.kind, ""):
        raise EnvOutputError(f"{what} of dtype {array.dtype}, allowed: {dtype}")
    if dtype.kind in "iu" and array.size:
        held = np.iinfo(dtype)
        for extreme in (array.min(), array.max()):
            if not held.min <= extreme <= held.max:
                raise EnvOutputError(
                    f"{what} with {extreme}, allowed: {held.min} … {held.max} ({dtype})"
                )
    with np.errstate(over="ignore"):
        return array.astype(dtype)
