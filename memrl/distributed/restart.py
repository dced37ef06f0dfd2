"""What rank 0 leaves for the one that takes its place when torchrun starts all ranks anew.

torchrun has a store through which its processes meet, and which outlives them.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any, Final

import torch.distributed as dist

_TIME_LIMIT: Final = timedelta(seconds=30)


def remember(key: str, value: str) -> None:
    """Keep a value until the launcher of these ranks ends; without a launcher it is forgotten."""
    if (store := _store()) is not None:
        store.set(_name(key), value)


def remembered(key: str) -> str | None:
    """The value that an earlier rank 0 of the same launcher kept; None if there is none."""
    store = _store()
    if store is None or not store.check([_name(key)]):
        return None
    return bytes(store.get(_name(key))).decode()


def forget(key: str) -> None:
    """Keep the value no longer."""
    if (store := _store()) is not None:
        store.delete_key(_name(key))


def _name(key: str) -> str:
    return f"memrl/{key}"


def _store() -> Any:
    """The launcher's store, for rank 0; None where a rank holds it, or there are no ranks."""
    told = {"TORCHELASTIC_USE_AGENT_STORE": "True", "RANK": "0"}
    if not dist.is_available() or any(os.environ.get(k) != v for k, v in told.items()):
        return None
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return dist.TCPStore(  # type: ignore[attr-defined]
        address, port, is_master=False, timeout=_TIME_LIMIT
    )
