"""Seeds, threads and the device of a run."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Final, Literal

import numpy as np
import torch
from torch import nn

from memrl.config.models import Common
from memrl.distributed.collectives import rank
from memrl.distributed.group import local_rank, local_ranks
from memrl.run.allocator import keep_freed_memory
from memrl.run.machine import usable_cores, usable_threads

_TRAINING: Final = RLock()
# A step's products and additions that a thread is worth; a step of fewer waits for its threads.
THREAD_WORK: Final = 5_000_000


def prepare(config: Common) -> None:
    """Seed the global generators, set torch's threads and TF32, and check the device.

    Raises:
        ValueError: the device does not exist on this machine.
    """
    find_device(config.device)
    allow_tf32(config.tf32)
    torch.set_num_threads(config.threads or own_threads())
    keep_freed_memory()
    _seed_globally(config.seed)


def own_threads() -> int:
    """The threads of this process: its share of the cores, or as many as OMP_NUM_THREADS says."""
    return min(usable_threads(), max(1, usable_cores() // local_ranks()))


def allow_tf32(allowed: bool) -> None:
    """Whether products of float32, convolutions and fused RNNs on CUDA may round factors to TF32.

    TF32 has 10 bits of mantissa; sums stay in float32. It holds for the whole process, and changes
    nothing on other devices.
    """
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def suit_threads(threads: int | None, rows: int, network: nn.Module) -> None:
    """Set torch's threads for learning: ``threads``, or as many as a step of ``rows`` can use.

    A step multiplies each parameter once a row; networks with convolutions multiply far more often
    and get a thread for each core.
    """
    most = own_threads()
    if not any(isinstance(module, nn.Conv2d) for module in network.modules()):
        parameters = sum(weight.numel() for weight in network.parameters())
        most = max(1, min(most, rows * parameters // THREAD_WORK))
    torch.set_num_threads(threads or most)


@contextmanager
def alone(say: Callable[[str], None]) -> Iterator[None]:
    """Be the only run that this process trains: runs share its global random generators.

    A run in another thread waits, and says so. Weights are drawn from torch's global generator,
    and so may third-party environments and a memory's dropout draw.
    """
    if not _TRAINING.acquire(blocking=False):
        say("this run waits for another run in this process: both use its random generators")
        _TRAINING.acquire()
    try:
        yield
    finally:
        _TRAINING.release()


def find_device(name: str) -> torch.device:
    """A device of this machine; of several ranks each has a CUDA device of its own.

    Raises:
        ValueError: torch has no such device, or this machine has none.
    """
    name = f"cuda:{local_rank()}" if name == "cuda" and local_ranks() > 1 else name
    here = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise ValueError(
            f"device={name} cannot be used on this machine, allowed: {', '.join(here)}"
        ) from None
    return device


def seed_for(seed: int, purpose: Literal["train", "evaluate", "watch", "inspect"]) -> int:
    """A seed for one purpose; different purposes and different seeds get different episodes.

    So do different ranks; rank 0 has the seed of a process that trains alone.
    """
    key = ("train", "evaluate", "watch", "inspect").index(purpose)
    own = (key, rank()) if rank() else (key,)
    return int(np.random.SeedSequence(seed, spawn_key=own).generate_state(1)[0])


def part_ranks(seed: int) -> None:
    """Seed the global generators of a rank other than 0 anew, once all have the same weights.

    Dropout and third-party environments draw from them.
    """
    if rank():
        _seed_globally(seed_for(seed, "train"))


def _seed_globally(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
