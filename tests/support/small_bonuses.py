"""Every kind of bonus, small, on observations that are a grid of 3 × 2 codes."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces

from memrl.bonus import BONUSES, Bonus, BonusContext, Experience

B, A = 3, 5
SPACE = spaces.Dict({"image": spaces.Box(0, 4, (3, 2, 1), np.uint8)})
CPU = torch.device("cpu")


def context(
    num_envs: int = B, space: spaces.Dict = SPACE, keys: tuple[str, ...] = ("image",), seed: int = 0
) -> BonusContext:
    return BonusContext(num_envs, space, spaces.Discrete(A), CPU, keys, seed)


def make(kind: str, seed: int = 0, **options: float) -> Bonus:
    torch.manual_seed(seed)
    own = {"feature_dim": 7} if kind in LEARNED else {"capacity": 64}
    return BONUSES.build(kind, context(seed=seed), options=own | options)


KINDS = ("first_visit", "count", "novelty_difference", "elliptical")
LEARNED = KINDS[2:]


def views(seed: int, steps: int, kinds: int = 4) -> torch.Tensor:
    """Observations [T, B, 3, 2, 1], a few different ones, so that some are met again."""
    g = torch.Generator().manual_seed(seed)
    few = torch.randint(0, 5, (kinds, 3, 2, 1), generator=g, dtype=torch.uint8)
    return few[torch.randint(0, kinds, (steps, B), generator=g)]


def ends(seed: int, steps: int) -> torch.Tensor:
    """Bool [T, B]: whether the step to that observation opened an episode."""
    return torch.rand(steps, B, generator=torch.Generator().manual_seed(seed)) < 0.2


def walk(bonus: Bonus, seen: torch.Tensor, opens: torch.Tensor) -> torch.Tensor:
    """What is paid [T, B] for steps to ``seen``; the episodes are those under way."""
    return torch.stack(
        [bonus.reward({"image": o}, new) for o, new in zip(seen, opens, strict=True)]
    )


def experience(seed: int, steps: int = 11, valid: torch.Tensor | None = None) -> Experience:
    """A rollout of random observations and actions."""
    g = torch.Generator().manual_seed(seed)
    seen = views(seed, steps + 1, kinds=9)
    return Experience(
        {"image": seen[:-1]},
        torch.randint(0, A, (steps, B), generator=g),
        ends(seed, steps),
        torch.ones(steps, B, dtype=torch.bool) if valid is None else valid,
        {"image": seen[-1]},
    )
