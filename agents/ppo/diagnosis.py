"""What is measured of a policy's memory every few rollouts: its use, and a gradient's reach."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from memrl.agents.ppo.gradient_reach import DISTANCES, gradient_reach
from memrl.agents.ppo.memory_use import memory_used
from memrl.policies.actor_critic import Policy
from memrl.rollout.storage import Rollout

EVERY: Final = 16  # iterations between two measurements
CHUNKS: Final = 32  # of a rollout, at most


def diagnose(policy: Policy, rollout: Rollout, iteration: int) -> dict[str, Tensor]:
    """``memory/used_kl`` and ``memory/reach_…`` after iterations 1, 17, 33, …; NaN after others."""
    reach, used = dict[int, Tensor](), torch.tensor(math.nan)
    if iteration % EVERY == 1:
        few = torch.arange(min(CHUNKS, rollout.num_chunks()))
        chunk = rollout.chunks(few[rollout.spans(few).length == rollout.bptt])
        reach, used = gradient_reach(policy, chunk), memory_used(policy, chunk)
    distances = [k for k in DISTANCES if k < rollout.bptt]
    return {"memory/used_kl": used} | {
        f"memory/reach_{k}": reach.get(k, torch.tensor(math.nan)) for k in distances
    }
