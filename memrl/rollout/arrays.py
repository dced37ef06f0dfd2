"""Convert a user's observations to tensors, and actions back to the observations' form.

The form is NumPy or tensors, single or batched.

Observations are those of a ``BatchedEnv``'s space (see ``memrl.rollout.spaces``): a dict, or an
array alone where the space has the one entry ``obs``. Numbers of a ``Discrete`` count from zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from memrl.errors import shortened
from memrl.rollout.env import Obs
from memrl.rollout.spaces import Array, Space, brief_space, tensor_dtype


class Form(NamedTuple):
    """The form of observations, in which their actions are returned."""

    numpy: bool
    single: bool  # one observation without a batch axis

    def give(self, action: Tensor) -> Any:
        """Actions [B, ...] as tensors or NumPy arrays; a single one without its batch axis."""
        if not self.numpy:
            return action[0] if self.single else action
        array: Array = action.cpu().numpy()
        if not self.single:
            return array
        return int(array[0]) if array.ndim == 1 else array[0]


BATCH = Form(numpy=False, single=False)  # tensors [B, ...], as a BatchedEnv gives them


def read_observation(space: spaces.Dict, given: Any, device: torch.device) -> tuple[Obs, Form]:
    """A batch of observations as tensors, and the form in which they were given.

    Args:
        space: of one environment.
        given: a (nested) dict of arrays or tensors, or an array where the space has one entry
            ``obs``; each entry of one environment or of B. Other entries than those of the space
            are ignored.
        device: of the tensors.

    Raises:
        ValueError: an entry is missing, is text, has another shape, holds floats where the space
            has integers, or a number outside its space; the message names it.
    """
    entries = dict(_flat(given)) if isinstance(given, Mapping) else {"obs": given}
    if missing := [key for key in space if key not in entries]:
        raise ValueError(
            f"the observation lacks {', '.join(missing)} (it has: {', '.join(entries)}): the agent "
            "reads what its run's environment shows, which run.env() and run.gymnasium_env() make"
        )
    wanted = {key: entries[key] for key in space}
    if all(_is_batch(value, space[key]) for key, value in wanted.items()):
        return {key: value.to(device) for key, value in wanted.items()}, BATCH
    arrays = {key: _array(value, key) for key, value in wanted.items()}
    single = [_is_single(array, key, space[key]) for key, array in arrays.items()]
    if any(single) != all(single):
        raise ValueError("some entries of the observation have a batch axis and others have none")
    obs = {
        key: _tensor(array if not single[0] else array[None], key, space[key]).to(device)
        for key, array in arrays.items()
    }
    if len(rows := {len(value) for value in obs.values()}) > 1:
        raise ValueError(f"the entries of the observation have different batch sizes: {rows}")
    numpy = not any(isinstance(value, Tensor) for value in wanted.values())
    return obs, Form(numpy, single[0])


def _flat(obs: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in obs.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _is_batch(value: Any, space: Space) -> bool:
    """Tensors as a ``BatchedEnv`` gives them: nothing to convert and nothing to look at."""
    shape = space.shape or ()
    return (
        isinstance(value, Tensor)
        and value.dim() == len(shape) + 1
        and value.dtype == tensor_dtype(space)
        and value.shape[1:] == shape
    )


def _array(value: Any, key: str) -> Array:
    array: Array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.kind not in "buif":
        what = "text" if array.dtype.kind in "US" else f"{type(value).__name__}"
        raise ValueError(
            f"observation {key!r} is {what}, not numbers: run.gymnasium_env() shows it as the "
            "agent reads it"
        )
    return array


def _is_single(array: Array, key: str, space: Space) -> bool:
    shape = space.shape or ()
    if array.shape in (shape, shape[: len(shape) - (shape == (1,))]):
        return True
    if array.shape[1:] == shape and array.ndim == len(shape) + 1:
        return False
    raise ValueError(
        f"observation {key!r} has shape {list(array.shape)}, allowed: {list(shape)}, or "
        f"{['B', *shape]} for a batch of B"
    )


def _tensor(array: Array, key: str, space: Space) -> Tensor:
    dtype = tensor_dtype(space)
    if array.dtype.kind == "f" and not dtype.is_floating_point:
        raise ValueError(
            f"observation {key!r} is {array.dtype}, allowed: integers, as in {brief_space(space)}"
        )
    sizes = space.n if isinstance(space, spaces.Discrete) else getattr(space, "nvec", None)
    if dtype == torch.uint8:
        sizes = 256
    if sizes is not None and ((array < 0) | (array >= sizes)).any():
        raise ValueError(
            f"observation {key!r} is {shortened(array.tolist())}, outside {brief_space(space)}"
        )
    return torch.as_tensor(array).to(dtype).reshape(len(array), *(space.shape or ()))
