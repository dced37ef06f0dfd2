"""One optimiser step, which nothing passes that is not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from memrl.policies.backbone import Backbone

Groups: TypeAlias = dict[str, list[nn.Parameter]]


def groups_of(network: Backbone) -> Groups:
    """All parameters of a network: of its encoder, its memory, and the heads behind them."""
    before = {"encoder": network.encoder, "memory": network.core}
    groups = {name: list(part.parameters()) for name, part in before.items()}
    known = {id(p) for group in groups.values() for p in group}
    return groups | {"heads": [p for p in network.parameters() if id(p) not in known]}


def gradient_step(
    optimizer: Optimizer,
    groups: Groups,
    total: Tensor,
    named: Mapping[str, Tensor],
    *,
    max_norm: float,
) -> dict[str, Tensor]:
    """Step down ``total``, a longer gradient shortened to ``max_norm``.

    Args:
        optimizer: of all parameters in ``groups``.
        groups: whose gradients are measured apart.
        total: the loss [].
        named: the losses it is made of, for the error.
        max_norm: of the gradient of all groups together.

    Returns:
        Norms of the gradients before they were shortened, by group, and of ``all``.

    Raises:
        FloatingPointError: a loss or a gradient is not finite; nothing was changed by it.
    """
    optimizer.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    grads = {name: [p.grad for p in group if p.grad is not None] for name, group in groups.items()}
    norms = {name: get_total_norm(group) for name, group in grads.items() if group}
    norm = torch.stack(list(norms.values())).norm()
    if not math.isfinite(float(norm)) or not math.isfinite(float(total.detach())):
        raise FloatingPointError(_what_went_bad(named, norms))
    everything = [p for group in groups.values() for p in group]
    clip_grads_with_norm_(everything, max_norm, norm)
    optimizer.step()
    return {name: value.detach() for name, value in (norms | {"all": norm}).items()}


def _what_went_bad(named: Mapping[str, Tensor], norms: Mapping[str, Tensor]) -> str:
    bad = [f"the {name} loss" for name, x in named.items() if not math.isfinite(float(x.detach()))]
    bad += [
        f"the gradient of {name}"
        for name, x in norms.items()
        if not math.isfinite(float(x.detach()))
    ]
    what = " and ".join(bad) or "the total loss"
    return f"{what} became NaN or infinite"
