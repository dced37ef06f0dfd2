"""Join and leave the process group of the ranks that torchrun, or memrl itself, has started."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from typing import Final

import torch.distributed as dist

from memrl.distributed.meeting import agreed_name
from memrl.errors import RunError

# What torchrun tells each process; torch.distributed reads it.
_TOLD: Final = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
TIME_LIMIT: Final = timedelta(minutes=10)  # that a rank waits for another


def is_started_as_rank() -> bool:
    """Whether this process was started to be one of several."""
    return all(name in os.environ for name in _TOLD)


def need_one_process(command: str) -> None:
    """Raise ValueError if this process is one of several, where ``command`` runs in one."""
    if is_started_as_rank() and os.environ["WORLD_SIZE"] != "1":
        raise ValueError(
            f"{command} runs in one process: torchrun starts memrl train and memrl distil alone"
        )


def local_rank() -> int:
    """The number of this rank on its machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def local_ranks() -> int:
    """How many ranks this machine has; 1 without a process group."""
    in_group = dist.is_available() and dist.is_initialized()
    return int(os.environ.get("LOCAL_WORLD_SIZE", dist.get_world_size())) if in_group else 1


@contextmanager
def joined(device: str) -> Iterator[Joined]:
    """Be one of the ranks, where this process was started as one; alone it changes nothing.

    A group that a script made is used as it is.

    Args:
        device: of the tensors that ranks exchange: cpu or cuda.

    Raises:
        ValueError: torch has no way to exchange such tensors.
        RunError: the ranks cannot be reached.
    """
    membership = Joined()
    if is_started_as_rank() and not (dist.is_available() and dist.is_initialized()):
        _join("cuda" if device.startswith("cuda") else "cpu")
        membership.own = True
    try:
        yield membership
    finally:
        membership.leave()


class Joined:
    """The membership in a group; ``own``: it was joined here, and can be left here."""

    own: bool = False

    def leave(self) -> None:
        """Leave the group, after which each process is alone; a second call does nothing."""
        if self.own:
            self.own = False
            dist.destroy_process_group()


def _join(device: str) -> None:
    if not dist.is_available() or not dist.is_gloo_available():
        raise ValueError(
            "several processes need torch with gloo, which this torch was built without"
        )
    if device == "cuda" and not dist.is_nccl_available():
        raise ValueError(
            "several processes on device=cuda need NCCL, which this torch was built without "
            "(allowed: device=cpu)"
        )
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    # Its functions take the group of the moment they are defined in as a default, and torch's
    # compiler imports them. Imported within a group they keep it, and its threads, past its end:
    # some of them then met the end of the interpreter, and the rank was ended by SIGABRT.
    import_module("torch.distributed.nn.functional")
    try:
        store, rank, ranks = next(dist.rendezvous("env://", timeout=TIME_LIMIT))  # type: ignore[attr-defined]
        name = agreed_name(store, rank, ranks, TIME_LIMIT)
        attempt = dist.PrefixStore(name, store)  # type: ignore[attr-defined]
        dist.init_process_group(
            backend, store=attempt, rank=rank, world_size=ranks, timeout=TIME_LIMIT
        )
    except (RuntimeError, ValueError) as error:
        raise RunError(_unreachable(str(error))) from error


def _unreachable(error: str) -> str:
    """One sentence about a group that could not be joined."""
    where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    if os.strerror(errno.EADDRINUSE) in error or "EADDRINUSE" in error:
        return (
            f"{where} is in use: give the ranks another port (torchrun --master-port=PORT), or let "
            "memrl train workers=N find a free one"
        )
    said = " ".join(error.split("\n")[0].split())
    return f"the ranks do not reach each other at {where}: {said}"
