"""Converts SB3's options to ``PPOConfig``; errors use SB3's names."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import ValidationError

from memrl.agents.ppo.config import PPOConfig
from memrl.agents.sb3.schedules import Constant, initial_value

SB3_OPTIONS = {  # memrl's option -> SB3's
    "steps": "n_steps",
    "epochs": "n_epochs",
    "lr": "learning_rate",
    "entropy": "ent_coef",
    "lam": "gae_lambda",
    "clip": "clip_range",
    "value_clip": "clip_range_vf",
    "value_coef": "vf_coef",
    "normalise_advantages": "normalize_advantage",
}
LONGEST = 64  # env steps; the chunk length unless `bptt` is given
LIVE = (  # attributes whose change counts from the next rollout or update on
    *("n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda", "clip_range", "clip_range_vf"),
    *("normalize_advantage", "ent_coef", "vf_coef", "max_grad_norm", "target_kl"),
    *("bptt", "burn_in", "refresh_states", "learning_rate"),
)
FIXED = {  # attribute -> how to change it after all
    "normalize_returns": "make a new model",
    "policy_class": "make a new model",
    "policy_kwargs": "make a new model",
    "masks": "make a new model, in environments with the method action_masks",
    "use_sde": "gSDE's noise lasts over several steps and the memory does not observe it",
    "sde_sample_freq": "gSDE's noise lasts over several steps and the memory does not observe it",
    "device": "use load(path, device=…)",
    "n_envs": "use load(path, env, n_envs=…)",
}


def plain(value: Any) -> Any:
    """NumPy's numbers as Python's, in nested lists, tuples and dicts too."""
    match value:
        case np.generic():
            return value.item()
        case dict():
            return {plain(key): plain(each) for key, each in value.items()}
        case list() | tuple() if type(value) in (list, tuple):
            return type(value)(plain(each) for each in value)
    return value


def chunk_length(batch_size: Any) -> int:
    """The chunk length unless ``bptt`` is given: a minibatch is at least one chunk."""
    return LONGEST if batch_size is None else max(1, min(LONGEST, int(batch_size)))


def minibatch_size(model: Any) -> int:
    """Env steps of a minibatch; with ``batch_size=None`` those of a rollout."""
    return int(model.batch_size or model.n_envs * model.n_steps)


def warn_of_a_rest(model: Any) -> None:
    """Warn if minibatches do not divide a rollout, as SB3 does."""
    steps, size = model.n_envs * model.n_steps, minibatch_size(model)
    if steps % size:
        warnings.warn(
            f"batch_size {size} does not divide a rollout of {steps} env steps (n_steps "
            f"{model.n_steps} × {model.n_envs} environments): the last minibatch of an epoch has "
            f"{steps % size}",
            UserWarning,
            stacklevel=4,
        )


def learner_config(model: Any) -> PPOConfig:
    """The learner's options, from a `MemoryPPO`'s attributes as they are now.

    Raises:
        ValueError: a number is out of range, or sizes do not fit each other.
    """
    given = {name: _value(getattr(model, name)) for name in LIVE}
    _check_sizes(given, model.n_envs)
    vf, schedules = given["clip_range_vf"], ("learning_rate", "clip_range")
    for name in schedules:
        if not 0 <= initial_value(given[name]) < math.inf:
            raise ValueError(f"{name} is {given[name]!r}, allowed: finite, at least 0")
    try:
        config = PPOConfig(
            steps=given["n_steps"],
            bptt=given["bptt"],
            burn_in=given["burn_in"],
            refresh_states=given["refresh_states"],
            epochs=given["n_epochs"],
            entropy=given["ent_coef"],
            gamma=given["gamma"],
            lam=given["gae_lambda"],
            value_clip=None if vf is None else initial_value(vf),
            value_coef=_twice(given["vf_coef"]),
            max_grad_norm=given["max_grad_norm"],
            normalise_advantages=given["normalize_advantage"],
            target_kl=given["target_kl"],
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        option = SB3_OPTIONS.get(name, name)
        raise ValueError(f"{option} is {given[option]!r}: {first['msg'].lower()}") from None
    chunk = min(config.bptt, config.steps)
    within = f"a chunk has {chunk} env steps (bptt, n_steps)"
    model.policy.auxiliary_config.need_within(chunk, within)
    return config.model_copy(update={"target_kl": None})  # SB3's rule is `Rates.max_kl`


def _check_sizes(given: Mapping[str, Any], n_envs: int) -> None:
    for name in ("n_steps", "batch_size", "bptt"):
        value = given[name]
        if value is None and name == "batch_size":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} is {value!r}, allowed: a whole number from 1")
    if given["normalize_advantage"] is True and n_envs * given["n_steps"] == 1:
        raise ValueError(
            "n_steps is 1 in 1 environment, a rollout of 1 env step with normalize_advantage=True, "
            "allowed: at least 2, since one advantage less its mean is zero"
        )
    size = given["batch_size"] or n_envs * given["n_steps"]
    if given["normalize_advantage"] is True and size == 1:
        raise ValueError(
            "batch_size is 1 with normalize_advantage=True, allowed: at least 2, since one "
            "advantage less its mean is zero"
        )
    if not isinstance(given["burn_in"], int) or not 0 <= given["burn_in"] < given["bptt"]:
        raise ValueError(
            f"burn_in is {given['burn_in']!r}, allowed: 0 to below bptt {given['bptt']}"
        )


def _value(given: Any) -> Any:
    return given.value if isinstance(given, Constant) else plain(given)


def _twice(weight: Any) -> Any:
    """The weight of half a mean square, as memrl has it; SB3 weighs the whole one."""
    return 2 * weight if isinstance(weight, int | float) else weight
