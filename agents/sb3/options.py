"""Converts SB3's options to ``PPOConfig``; errors use SB3's names."""

from __future__ import annotations

import math
from typing import Any

from pydantic import ValidationError

from memrl.agents.ppo.config import PPOConfig
from memrl.agents.sb3.schedules import initial_value

SB3_OPTIONS = {  # memrl's option -> SB3's
    "steps": "n_steps",
    "epochs": "n_epochs",
    "lr": "learning_rate",
    "entropy": "ent_coef",
    "lam": "gae_lambda",
    "clip": "clip_range",
    "value_clip": "clip_range_vf",
    "value_coef": "vf_coef",
}
LONGEST = 64  # env steps; the longest chunk unless `bptt` is given


def chunk_length(n_steps: int, batch_size: int) -> int:
    """The longest chunk up to ``LONGEST`` that divides ``n_steps`` and ``batch_size``."""
    common = math.gcd(n_steps, batch_size)
    return max((d for d in range(1, LONGEST + 1) if common % d == 0), default=1)


def learner_config(model: Any) -> PPOConfig:
    """The learner's options, from a `MemoryPPO`'s attributes.

    Raises:
        ValueError: a number is out of range, or sizes do not fit each other.
    """
    steps = model.n_envs * model.n_steps
    for name in ("n_steps", "batch_size", "bptt"):
        if getattr(model, name) < 1:
            raise ValueError(f"{name} is {getattr(model, name)}, allowed: at least 1")
    if steps % model.batch_size:
        raise ValueError(
            f"batch_size {model.batch_size} does not divide a rollout of {steps} env steps "
            f"(n_steps {model.n_steps} × {model.n_envs} environments)"
        )
    if model.batch_size % model.bptt:
        raise ValueError(
            f"batch_size {model.batch_size} is not a multiple of the chunk length bptt "
            f"{model.bptt}: minibatches are whole chunks"
        )
    if not 0 <= model.burn_in < model.bptt:
        raise ValueError(f"burn_in is {model.burn_in}, allowed: 0 to below bptt {model.bptt}")
    if model.n_steps < model.bptt or (model.n_steps - model.burn_in) % (model.bptt - model.burn_in):
        raise ValueError(
            f"n_steps {model.n_steps} is not covered by chunks of bptt {model.bptt} with burn_in "
            f"{model.burn_in}"
        )
    vf = model.clip_range_vf
    try:
        return PPOConfig(
            steps=model.n_steps,
            bptt=model.bptt,
            burn_in=model.burn_in,
            refresh_states=model.refresh_states,
            epochs=model.n_epochs,
            minibatches=steps // model.batch_size,
            lr=initial_value(model.learning_rate),
            entropy=model.ent_coef,
            gamma=model.gamma,
            lam=model.gae_lambda,
            clip=initial_value(model.clip_range),
            value_clip=None if vf is None else initial_value(vf),
            value_coef=2 * model.vf_coef,  # memrl halves the mean square, SB3 does not
            max_grad_norm=model.max_grad_norm,
            target_kl=model.target_kl,
            normalise_advantages=model.normalize_advantage,
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        option = SB3_OPTIONS.get(name, name)
        given = getattr(model, option)
        raise ValueError(f"{option} is {given!r}: {first['msg'].lower()}") from None
