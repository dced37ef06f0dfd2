"""The process's global random generators, as part of a checkpoint and shared by threads.

memrl draws first weights from torch's, and all else from generators of its own. Other code uses the
global ones: dropout draws from torch's, and third-party Gymnasium environments from any of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import RLock
from typing import Any, Final

import numpy as np
import torch

_DRAWING: Final = RLock()


def randomness_state() -> dict[str, Any]:
    """The state of the generators of torch (CPU and every CUDA device), NumPy and Python."""
    version, words, gauss = random.getstate()
    numpy_state = np.random.get_state(legacy=False)
    assert isinstance(numpy_state, dict)  # the legacy form is a tuple
    inner = numpy_state["state"]
    cuda_used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if cuda_used else [],
        "python": [version, list(words), gauss],
        "numpy": {
            **{key: numpy_state[key] for key in ("bit_generator", "has_gauss", "gauss")},
            "key": inner["key"].tolist(),
            "pos": int(inner["pos"]),
        },
    }


def restore_randomness(state: Mapping[str, Any]) -> None:
    """Restore the generators; states of CUDA devices that this machine lacks are ignored."""
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available():
        for device, cuda_state in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(cuda_state, device)
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    numpy_state = state["numpy"]
    np.random.set_state(
        {
            **{key: numpy_state[key] for key in ("bit_generator", "has_gauss", "gauss")},
            "state": {"key": np.array(numpy_state["key"], np.uint32), "pos": numpy_state["pos"]},
        }
    )


@contextmanager
def drawing() -> Iterator[None]:
    """Be the only thread that draws first weights, from seeding the generators to the last one."""
    with _DRAWING:
        yield


@contextmanager
def drawing_apart() -> Iterator[None]:
    """`drawing`, which leaves the global generators as they were to whoever trains meanwhile."""
    with drawing():
        before = randomness_state()
        try:
            yield
        finally:
            restore_randomness(before)
