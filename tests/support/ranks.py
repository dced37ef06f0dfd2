"""Several processes of a test, joined by torch.distributed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.multiprocessing.spawn import spawn


def run_ranks(function: Callable[..., None], ranks: int, folder: Path, *arguments: Any) -> None:
    """Call ``function(rank, *arguments)`` in each of several processes; an error in one raises."""
    meeting = folder / f"meeting-{ranks}-{len(list(folder.iterdir()))}"
    spawn(_join, (function, ranks, str(meeting), arguments), nprocs=ranks)


def _join(
    rank: int, function: Callable[..., None], ranks: int, meeting: str, arguments: tuple[Any, ...]
) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=ranks
    )
    try:
        function(rank, *arguments)
    finally:
        distributed.destroy_process_group()
