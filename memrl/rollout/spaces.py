"""Gymnasium spaces as tensors: the dtype and shape of each space.

==============================  ======================  ===========================
space of one environment        tensor of B of them     converted to
==============================  ======================  ===========================
``Box`` of uint8                uint8 [B, ...]          the same ``Box``, at least 1-D
picture [C, H, W] of uint8      uint8 [B, H, W, C]      channels last, as SB3 tells them apart
grid [W, H, C] of other ints    uint8 [B, W, H, C]      counted from its lows, up to 256 symbols
any other ``Box``               float32 [B, ...]        ``Box`` of float32, at least 1-D
``Discrete``                    int64 [B]               ``Discrete`` from zero
``MultiDiscrete``               int64 [B, D]            1-D, every entry from zero
``MultiBinary``                 bool [B, D]             1-D
``Tokens`` (a sentence)         int64 [B, L]            the same
==============================  ======================  ===========================

A ``Dict`` is flattened: nested keys are joined by dots. Any other space becomes ``{"obs": space}``.
Text is dropped; ``memrl.envs.adapters.text`` converts it to ``Tokens`` before. ``action_mask``
always becomes a ``MultiBinary``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from memrl.errors import EnvOutputError, shortened
from memrl.rollout.masks import mask_size
from memrl.rollout.tokens import Tokens

Space: TypeAlias = spaces.Space[Any]
Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

ALLOWED = "Box, Discrete, MultiDiscrete, MultiBinary"
MASK = "action_mask"
MOST_CHOICES = 2**16  # each has a row of the last layer, and a value at every step


class Leaf(NamedTuple):
    """One tensor of an observation: its path, its original space, and its converted space."""

    path: tuple[str, ...]
    given: Space
    space: Space

    def pick(self, obs: Any) -> Any:
        """This leaf of a (nested) observation, of one environment or of a batch."""
        for name in self.path:
            obs = obs[name]
        return obs


def leaves(space: Space) -> dict[str, Leaf]:
    """The leaves of an observation space, by key.

    Raises:
        ValueError: a space cannot be converted, two entries have the same key, or all are text.
    """
    found: dict[str, Leaf] = {}
    for path, given in _walk(space, ()):
        key = ".".join(path) or "obs"
        if key in found:
            raise ValueError(f"two entries of the observation space have the key {key!r}")
        kept = canonical(given, f"observation {key!r}")
        if key == MASK:
            kept = spaces.MultiBinary(int(np.prod(kept.shape or ())))
        found[key] = Leaf(path, given, kept)
    if not found:
        raise ValueError(
            f"nothing is left of the observation space {brief_space(space)} once text is dropped"
        )
    return found


def _walk(space: Space, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], Space]]:
    if isinstance(space, spaces.Dict):
        return [leaf for name, part in space.items() for leaf in _walk(part, (*path, str(name)))]
    is_text = space.dtype is not None and space.dtype.kind == "U"
    return [] if is_text else [(path, space)]


def canonical(space: Space, what: str) -> Space:
    """The converted space of one environment; ``what`` names it in the error.

    Raises:
        ValueError: the space cannot be converted.
    """
    match space:
        case Tokens():
            return Tokens(space.num_symbols, space.length)
        case spaces.Box() if is_symbols(space):
            return spaces.Box(
                np.uint8(0), (space.high - space.low).astype(np.uint8), dtype=np.uint8
            )
        case spaces.Box() if is_channels_first(space):
            channels, *sides = space.shape
            return spaces.Box(0, 255, (*sides, channels), np.uint8)
        case spaces.Box():
            dtype: Any = np.uint8 if space.dtype == np.uint8 else np.float32
            with np.errstate(over="ignore"):  # bounds beyond float32 become infinite
                low, high = (np.atleast_1d(b).astype(dtype) for b in (space.low, space.high))
            return spaces.Box(low, high, dtype=dtype)
        case spaces.Discrete():
            return spaces.Discrete(int(space.n))
        case spaces.MultiDiscrete():
            return spaces.MultiDiscrete(space.nvec.reshape(-1))
        case spaces.MultiBinary():
            return spaces.MultiBinary(int(np.prod(space.shape)))
    raise ValueError(
        f"{what} is a {type(space).__name__} space, which has no tensor; allowed: {ALLOWED}"
        + (", Dict of these" if what.startswith("observation") else "")
    )


def is_symbols(space: Space) -> bool:
    """Whether this is a grid [W, H, C] of at most 256 symbols a channel, in another dtype."""
    return (
        isinstance(space, spaces.Box)
        and space.dtype is not None
        and space.dtype.kind in "iu"
        and space.dtype != np.uint8
        and len(space.shape) == 3
        and bool((space.high.astype(float) - space.low.astype(float) < 256).all())
    )


def is_channels_first(space: Space) -> bool:
    """Whether this is a picture [C, H, W]: bytes of which the first axis is the shortest."""
    return (
        isinstance(space, spaces.Box)
        and space.dtype == np.uint8
        and len(space.shape) == 3
        and space.shape[0] < min(space.shape[1:])
        and bool((space.low == 0).all() and (space.high == 255).all())
    )


def canonical_action(space: Space) -> Space:
    """The action space of one environment for an agent: a ``Box`` is flat, counts start at 0."""
    kept = canonical(space, "the action space")
    if (size := mask_size(kept) or 0) > MOST_CHOICES:
        raise ValueError(
            f"the action space has {size:,} choices, allowed: at most {MOST_CHOICES:,}; several "
            "choices among fewer are a MultiDiscrete"
        )
    if isinstance(kept, spaces.Box):
        low, high = (bound.astype(np.float32).reshape(-1) for bound in (kept.low, kept.high))
        return spaces.Box(low, high, dtype=np.float32)
    return kept


def tensor_dtype(space: Space) -> torch.dtype:
    """The dtype of tensors of a converted space."""
    if isinstance(space, spaces.MultiBinary):
        return torch.bool
    return torch.from_numpy(np.empty(0, space.dtype)).dtype


def brief_space(space: Space) -> str:
    """A space on one line, for messages; of bounds that are arrays, the extremes."""
    if isinstance(space, spaces.Box) and space.low.size:
        return f"Box({space.low.min()}, {space.high.max()}, {space.shape}, {space.dtype})"
    return shortened(space)


def encode(leaf: Leaf, batch: Any, name: str, envs: Array | None = None) -> Array:
    """A batch of values of ``leaf.given`` as a new array of ``leaf.space``: [B, ...].

    ``name`` and ``envs`` (the environments of these values; all by default) are for the errors.

    Raises:
        EnvOutputError: wrong shape, a number that is not finite, a fraction where whole numbers are
            wanted, or an index outside its space.
    """
    values, given = np.asarray(batch), leaf.given
    wanted = given.shape or ()
    if values.shape[1:] != wanted:
        raise EnvOutputError(f"{name} has shape {values.shape[1:]}, but its space says {wanted}")
    flat = values.reshape(len(values), -1)
    if isinstance(given, spaces.Discrete | spaces.MultiDiscrete):
        sizes = given.n if isinstance(given, spaces.Discrete) else given.nvec.reshape(-1)
        flat = flat - np.asarray(given.start).reshape(-1)
        bad = ((flat < 0) | (flat >= sizes)).any(1)
    elif isinstance(given, spaces.Box) and is_symbols(given):
        low, high = (bound.reshape(-1) for bound in (given.low, given.high))
        bad = ((flat < low) | (flat > high)).any(1)
        flat = flat - low
    else:
        bad = np.zeros(len(flat), bool)
    dtype = bool if isinstance(leaf.space, spaces.MultiBinary) else leaf.space.dtype
    with np.errstate(over="ignore", invalid="ignore"):
        cast = flat.astype(dtype)
    if cast.dtype.kind == "f":  # a number beyond float32 is infinite now
        bad |= ~np.isfinite(cast).all(1)
    elif flat.dtype != cast.dtype:
        bad |= ((cast != flat) if cast.dtype.kind in "iu" else _is_no_flag(flat)).any(1)
    if bad.any():
        row = int(bad.argmax())
        env = row if envs is None else envs[row]
        raise EnvOutputError(
            f"{name} of env {env} is {_fault(np.asarray(values[row]), cast[row], given)}"
        )
    if is_channels_first(given):
        return np.moveaxis(cast.reshape(values.shape), 1, -1).copy()
    return cast.reshape(len(values), *(leaf.space.shape or ()))


def _is_no_flag(values: Array) -> Array:
    """Whether values are fractions or NaN; any other number is a flag."""
    return np.asarray(values % 1 != 0)


def _fault(value: Array, cast: Array, given: Space) -> str:
    """What is wrong with one environment's value, as it was given and as it was converted [D]."""
    if cast.dtype.kind != "f":
        fractions = value.dtype.kind == "f" and bool(_is_no_flag(value).any())
        where = "allowed: whole numbers in" if fractions else "outside"
        return f"{shortened(value)}, {where} {brief_space(given)}"
    bad = int((~np.isfinite(cast)).argmax())
    number = float(value.reshape(-1)[bad])
    place = np.unravel_index(bad, given.shape or (1,))
    where = f" at [{', '.join(str(index) for index in place)}]" if cast.size > 1 else ""
    found = "NaN" if np.isnan(number) else f"{number:g}"
    return f"{found}{where}, allowed: finite numbers within float32"


def decode(leaf: Leaf, values: Tensor) -> Array:
    """Tensors of ``leaf.space`` as values of ``leaf.given``: the inverse of `encode`, [B, ...]."""
    array: Array = values.detach().cpu().numpy()
    given = leaf.given
    if is_channels_first(given):
        array = np.moveaxis(array, -1, 1)
    array = array.reshape(len(array), *(given.shape or ())).astype(given.dtype)
    if isinstance(given, spaces.Box) and is_symbols(given):
        array += given.low
    if isinstance(given, spaces.Discrete | spaces.MultiDiscrete):
        array += given.start
    return array


def decode_action(space: Space, action: Tensor) -> Array:
    """Convert actions in ``canonical_action(space)`` to arrays of ``space``.

    A ``Box`` is clipped to its bounds and never rescaled.

    Raises:
        ValueError: wrong shape, or NaN.
    """
    values: Array = action.detach().cpu().numpy()
    shape = canonical_action(space).shape or ()
    if values.shape[1:] != shape:
        raise ValueError(
            f"actions have shape {values.shape}, expected (B, *{shape}) for {brief_space(space)}"
        )
    values = values.reshape(len(values), *(space.shape or ()))
    if isinstance(space, spaces.Box):
        bad = np.isnan(values).reshape(len(values), -1).any(1)
        if bad.any():
            raise ValueError(f"the action for env {int(bad.argmax())} is NaN")
        return np.clip(values, space.low, space.high).astype(space.dtype)
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        values = values + space.start
    return values.astype(space.dtype)


def encode_action(space: Space, actions: Any, device: torch.device) -> Tensor:
    """Arrays or tensors of actions as a tensor of a converted space: [B] or [B, D]."""
    dtype = torch.int64 if isinstance(space, spaces.MultiBinary) else tensor_dtype(space)
    values = torch.as_tensor(actions, device=device)
    return values.to(dtype, copy=True).reshape(-1, *(space.shape or ()))


def exported(space: Mapping[str, Space]) -> Space:
    """The observation space for other libraries: a single ``{"obs": ...}`` is unwrapped."""
    return space["obs"] if set(space) == {"obs"} else spaces.Dict(dict(space))


def export(space: Mapping[str, Space], obs: dict[str, Tensor]) -> Any:
    """A batch of observations as new numpy arrays of ``exported(space)``."""
    arrays = {key: obs[key].cpu().numpy().astype(part.dtype) for key, part in space.items()}
    return arrays["obs"] if set(arrays) == {"obs"} else arrays


def row(batch: Any, index: int) -> Any:
    """The observation of environment ``index`` in an exported batch."""
    if isinstance(batch, dict):
        return {key: part[index] for key, part in batch.items()}
    return batch[index]
