"""Whether a policy uses its memory: how much its actions change when the state is wiped."""

from __future__ import annotations

import torch
from torch import Tensor

from memrl.losses.ppo import masked_mean
from memrl.policies.actor_critic import Policy
from memrl.rollout.storage import Chunk


@torch.no_grad()
def memory_used(policy: Policy, chunk: Chunk) -> Tensor:
    """KL(π(·|o_1 … o_t) ‖ π(·|o_t)) in nats, the mean over the valid steps of a chunk.

    The second distribution is that of a memory whose state is wiped before every step, as with
    ``ablate=state``. At the first step of an episode both are the same. Actions that are masked
    out have no part in it.
    """
    known = policy(chunk.obs, chunk.state, chunk.start).actions
    wiped = policy(chunk.obs, chunk.state, torch.ones_like(chunk.start)).actions
    return masked_mean(known.kl(wiped), chunk.valid)
