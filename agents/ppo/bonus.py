"""The novelty bonus of a config: build it, and take what it has learned elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from memrl.agents.ppo.config import BonusConfig
from memrl.bonus import BONUSES, Bonus, BonusContext
from memrl.bonus.registry import NONE
from memrl.distributed.collectives import broadcast_
from memrl.rollout.env import BatchedEnv

IMAGE = "image"
NOT_SEEN = ("prev_action", "prev_reward", "prev_done", "is_t0", "action_mask")


def make_bonus(env: BatchedEnv, config: BonusConfig, seed: int) -> Bonus | None:
    """The bonus of ``config``, whose networks are drawn from ``seed``; None for kind=none.

    Ranks begin with the networks of rank 0.

    By default a bonus compares the entry ``image`` of observations, as in MiniGrid. Without one it
    compares all entries but the previous action and reward, which would make everything new.

    Raises:
        ValueError: ``bonus.key`` is no entry of the observation, or nothing reads its space.
    """
    if config.kind == NONE:
        return None
    keys = tuple(_seen(env, config.key))
    net_seed, order_seed = np.random.SeedSequence(seed).generate_state(2).tolist()
    context = BonusContext(
        env.num_envs, env.observation_space, env.action_space, env.device, keys, order_seed
    )
    with _seeded(net_seed, env.device):
        bonus = BONUSES.build(config.kind, context, options=config.options)
    broadcast_(*(part for part in vars(bonus).values() if isinstance(part, nn.Module)))
    return bonus


def as_trained(bonus: Bonus, env: BatchedEnv, config: BonusConfig) -> Bonus:
    """A bonus for other environments that has learned what ``bonus`` has.

    What it stores of single environments begins anew.
    """
    fresh, trained = make_bonus(env, config, 0), bonus.state_dict()
    assert fresh is not None
    own = fresh.state_dict()

    def of_environments(name: str) -> bool:
        here, there = own[name], trained[name]
        return isinstance(here, Tensor) and here.shape != there.shape

    fresh.load_state_dict({name: (own if of_environments(name) else trained)[name] for name in own})
    return fresh


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators of the CPU and of ``device``, and restore them at the end.

    ``torch.manual_seed`` would seed those of all devices.
    """
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(seed)
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield


def _seen(env: BatchedEnv, key: str | None) -> list[str]:
    """The entries of an observation that count as what was seen."""
    entries = list(env.observation_space.spaces)
    if key is not None and key not in entries:
        known = ", ".join(entries)
        raise ValueError(f"bonus.key {key!r} is no entry of the observation ({known})")
    if key is not None:
        return [key]
    return [IMAGE] if IMAGE in entries else [key for key in entries if key not in NOT_SEEN]
