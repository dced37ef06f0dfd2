"""One optimiser step that refuses losses and gradients that are not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from memrl.distributed.collectives import mean_gradients
from memrl.policies.backbone import Backbone

Groups: TypeAlias = dict[str, list[nn.Parameter]]


def parameter_groups(network: Backbone) -> Groups:
    """The parameters of a network by group: ``encoder``, ``memory`` and ``heads``."""
    before = {"encoder": network.encoder, "memory": network.core}
    groups = {name: list(part.parameters()) for name, part in before.items()}
    grouped = {id(p) for group in groups.values() for p in group}
    return groups | {"heads": [p for p in network.parameters() if id(p) not in grouped]}


def gradient_step(
    optimizer: Optimizer,
    groups: Groups,
    total: Tensor,
    losses: Mapping[str, Tensor],
    *,
    max_norm: float,
    failed: Tensor | None = None,
    waiting: AbstractContextManager[None] | None = None,
) -> dict[str, Tensor]:
    """Backpropagate ``total``, clip the gradient norm to ``max_norm`` and step the optimiser.

    Gradients are averaged over ranks first, so that every rank makes the same step.

    Args:
        optimizer: of all parameters in ``groups``.
        groups: parameters whose gradient norms are reported separately.
        total: the loss [].
        losses: the terms of ``total`` by name, for the error message.
        max_norm: largest norm of the gradient of all groups together.
        failed: bool [], for a fused optimiser, in place of the error: nothing is read on the host.
            It becomes True where something is not finite, and while it is, nothing is changed.
        waiting: measures the time in which ranks wait for each other; None: nothing does.

    Returns:
        Gradient norms before clipping: one for each group, and that of ``all``.

    Raises:
        FloatingPointError: a loss or a gradient is not finite; no parameter was changed.
    """
    optimizer.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    everything = [p for group in groups.values() for p in group]
    with waiting or nullcontext():
        total = mean_gradients(everything, total)
    grads = {name: [p.grad for p in group if p.grad is not None] for name, group in groups.items()}
    norms = {name: get_total_norm(group) for name, group in grads.items() if group}
    norm = torch.stack(list(norms.values())).norm()
    finite = norm.isfinite() & total.isfinite()
    if failed is not None:
        failed.logical_or_(~finite)
    elif not finite:
        raise FloatingPointError(name_non_finite(losses, norms))
    clip_grads_with_norm_(everything, max_norm, norm)
    _step(optimizer, unless=failed)
    return {name: value.detach() for name, value in (norms | {"all": norm}).items()}


def _step(optimizer: Optimizer, unless: Tensor | None) -> None:
    """Step the optimiser; a fused one obeys ``unless``, as it obeys a gradient scaler."""
    if unless is None:
        optimizer.step()
        return
    optimizer.found_inf = unless.float()  # type: ignore[attr-defined]
    try:
        optimizer.step()
    finally:
        del optimizer.found_inf  # type: ignore[attr-defined]


def name_non_finite(losses: Mapping[str, Tensor], norms: Mapping[str, Tensor]) -> str:
    """A sentence that names the losses, and the groups' gradient norms, that are not finite."""
    bad = [f"the {name} loss" for name, x in losses.items() if not math.isfinite(float(x.detach()))]
    bad += [
        f"the gradient of {name}"
        for name, x in norms.items()
        if not math.isfinite(float(x.detach()))
    ]
    what = " and ".join(bad) or "the total loss"
    return f"{what} became NaN or infinite"
