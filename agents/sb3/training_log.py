"""The metrics of an update under Stable-Baselines3's names."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.utils import explained_variance
from torch import Tensor

from memrl.agents.ppo.rates import Rates
from memrl.agents.training_metrics import memory_metrics

SB3_NAMES = {  # memrl's metric -> SB3's
    "train/policy": "train/policy_gradient_loss",
    "train/value": "train/value_loss",
    "train/kl": "train/approx_kl",
    "train/clipped": "train/clip_fraction",
    "train/ratio_error": "train/ratio_error",
    "train/core_cost": "train/core_cost",
    "train/auxiliary": "train/auxiliary",
    "train/auxiliary_accuracy": "train/auxiliary_accuracy",
    "grad_norm/all": "train/grad_norm",
}


def record(model: Any, means: dict[str, Tensor], rates: Rates, lr: float) -> None:
    """Log the update of a `MemoryPPO`, and the memory's diagnostics."""
    log = model.logger.record
    means["train/value"] = 2 * means["train/value"]  # the mean square, as in SB3
    for name, sb3_name in SB3_NAMES.items():
        if name in means:
            log(sb3_name, float(means[name]))
    value, target = (
        tensor.flatten().cpu().numpy()
        for tensor in (model.rollout_buffer.value, model.rollout_buffer.target)
    )
    log("train/entropy_loss", -float(means["train/entropy"]))
    log("train/explained_variance", float(explained_variance(value, target)))
    log("train/learning_rate", lr)
    log("train/clip_range", rates.clip)
    if rates.value_clip is not None:
        log("train/clip_range_vf", rates.value_clip)
    loss = means["train/policy"] + model.vf_coef * means["train/value"]
    loss = loss - model.ent_coef * means["train/entropy"] + means["train/core_cost"]
    auxiliary = model.learner.auxiliary
    if auxiliary is not None:
        loss = loss + auxiliary.weight * means["train/auxiliary"]
    log("train/loss", float(loss))
    log_std = model.policy.net.actor.log_std
    if log_std is not None:
        log("train/std", float(log_std.detach().exp().mean()))
    log("train/n_updates", model._n_updates, exclude="tensorboard")
    for name, scalar in memory_metrics(model.policy.net, model._collector.state).items():
        log(name, float(scalar))
