"""Sums, means and copies over all ranks; without a process group they change nothing.

The state is torch.distributed's default group. Every rank makes the same calls in the same order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from memrl.errors import RankLost, RunError


def rank() -> int:
    """The number of this process among those that train together; 0 if it trains alone."""
    return dist.get_rank() if _grouped() else 0


def ranks() -> int:
    """How many processes train together; 1 without a process group."""
    return dist.get_world_size() if _grouped() else 1


def sum_over_ranks(x: Tensor) -> Tensor:
    """The sum of each entry over all ranks; ``x`` itself if there is one."""
    return x if ranks() == 1 else _reduced(x, dist.ReduceOp.SUM)


def mean_over_ranks(x: Tensor) -> Tensor:
    """The mean of each entry over all ranks; ``x`` itself if there is one."""
    return x if ranks() == 1 else _reduced(x, dist.ReduceOp.SUM) / ranks()


def max_over_ranks(x: Tensor) -> Tensor:
    """The greatest of each entry over all ranks; ``x`` itself if there is one."""
    return x if ranks() == 1 else _reduced(x, dist.ReduceOp.MAX)


def mean_gradients(parameters: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
    """Replace gradients by their means over ranks, in one flat reduction.

    A missing gradient counts as zeros; one that is missing on all ranks stays missing.

    Returns:
        The mean of ``loss`` [] over ranks, without gradient.
    """
    if ranks() == 1:
        return loss.detach()
    weights = list(parameters)
    grads = [w.grad for w in weights]
    flat = [
        (torch.zeros_like(w) if g is None else g).reshape(-1)
        for w, g in zip(weights, grads, strict=True)
    ]
    there = loss.new_tensor([g is not None for g in grads])
    joined = torch.cat([*flat, there, loss.detach().reshape(1)])
    mean = _reduced(joined, dist.ReduceOp.SUM) / ranks()
    sizes = [len(part) for part in flat]
    *parts, there, loss_mean = torch.split(mean, [*sizes, len(weights), 1])
    known = [g is not None for g in grads] if _recording(mean) else (there > 0).tolist()
    for weight, part, exists in zip(weights, parts, known, strict=True):
        weight.grad = part.view_as(weight).to(weight.dtype) if exists else None
    return loss_mean.squeeze(0)


def broadcast_(*modules: nn.Module | None) -> None:
    """Write rank 0's parameters and buffers into those of all ranks."""
    if ranks() == 1:
        return
    for module in modules:
        for tensor in () if module is None else (*module.parameters(), *module.buffers()):
            with torch.no_grad(), _loss_explained():
                copy = tensor.detach().contiguous()
                dist.broadcast(copy, src=0)
                tensor.copy_(copy)


def from_rank_0(value: Any) -> Any:
    """Rank 0's value, a plain one, on every rank."""
    if ranks() == 1:
        return value
    values = [value]
    with _loss_explained():
        dist.broadcast_object_list(values, src=0)
    return values[0]


def of_all_ranks(value: Any) -> list[Any]:
    """The plain value of each rank, in the order of ranks, on every rank."""
    values = [value] * ranks()
    if ranks() > 1:
        with _loss_explained():
            dist.all_gather_object(values, value)
    return values


def tensors_of_all_ranks(x: Tensor) -> list[Tensor]:
    """The tensor of each rank, in the order of ranks; all have the same shape."""
    if ranks() == 1:
        return [x]
    parts = [torch.empty_like(x) for _ in range(ranks())]
    with _loss_explained():
        dist.all_gather(parts, x.contiguous())
    return parts


def _grouped() -> bool:
    return dist.is_available() and dist.is_initialized()


def _recording(x: Tensor) -> bool:
    """Whether a CUDA graph is recorded, which the host cannot read from."""
    return x.is_cuda and torch.cuda.is_current_stream_capturing()


def _reduced(x: Tensor, how: dist.ReduceOp.RedOpType) -> Tensor:
    total = x.detach().clone()
    with _loss_explained():
        dist.all_reduce(total, how)
    return total


@contextmanager
def _loss_explained() -> Iterator[None]:
    """A connection that breaks is the end of another rank, which says itself why it ended.

    One that stays silent is told here: its rank hangs, or its machine is gone.
    """
    try:
        yield
    except RuntimeError as error:
        if "timed out" in str(error).lower():
            raise RunError(
                f"rank {rank()} has waited in vain for another rank, which hangs or cannot be "
                "reached; start the ranks again, with --resume"
            ) from error
        raise RankLost(rank()) from error
