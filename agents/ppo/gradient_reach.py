"""How far back a gradient reaches through a memory, measured on a rollout's features."""

from __future__ import annotations

import torch
from torch import Tensor

from memrl.policies.actor_critic import Policy
from memrl.rollout.storage import Chunk

DISTANCES = (1, 2, 4, 8, 16, 32, 64)


def gradient_reach(policy: Policy, chunk: Chunk) -> dict[int, Tensor]:
    """‖∂y_T/∂x_{T-k}‖ over ‖∂y_T/∂x_T‖ by distance k in steps; episode ends are ignored.

    ``y_T`` is the core's output at the chunk's last step; its gradient is a fixed sign pattern. No
    parameter's ``.grad`` is changed.
    """
    with torch.enable_grad():
        x = policy.encoder(chunk.obs).detach().requires_grad_()
        no_starts = torch.zeros_like(chunk.start)
        y = policy.core(x, chunk.state, no_starts).y[-1]
        pattern = torch.ones_like(y)
        pattern[..., ::2] = -1
        (gradient,) = torch.autograd.grad(y, x, pattern)
    norms = gradient.norm(dim=(1, 2)).flip(0)  # by distance from the last step
    near = norms[0].clamp(min=torch.finfo(norms.dtype).tiny)
    return {k: norms[k] / near for k in DISTANCES if k < len(norms)}
