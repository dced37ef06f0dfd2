"""How a learner learns: KL, clip fraction and gradient norms by group, iteration by iteration."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Any, TypeAlias

from stable_baselines3.common.logger import KVWriter, Logger
from torch import Tensor, nn

from memrl.agents.gradient_step import parameter_groups

LOGGED = {"train/approx_kl": "kl", "train/clip_fraction": "clip_fraction"}
Series: TypeAlias = dict[str, list[float]]


class Course(KVWriter):
    """Reads a model's log, and its gradients before they are clipped; means of each iteration.

    Attributes:
        series: ``env_steps``, and at each of them ``kl`` in nats, ``clip_fraction``, and
            ``gradient/heads``, ``gradient/memory`` and ``gradient/encoder`` where there are such
            parameters.
    """

    def __init__(self, model: Any) -> None:
        self.series: Series = defaultdict(list)
        self._squares: dict[str, float] = defaultdict(float)  # of the minibatch
        self._norms: Series = defaultdict(list)  # of the iteration
        for group, parameters in _groups(model).items():
            for parameter in parameters:
                parameter.register_post_accumulate_grad_hook(partial(self._add, group))  # type: ignore[no-untyped-call]
        model.policy.optimizer.register_step_pre_hook(lambda *_: self._end_minibatch())
        model.set_logger(Logger(None, [self]))

    def _add(self, group: str, parameter: Tensor) -> None:
        assert parameter.grad is not None
        self._squares[group] += float(parameter.grad.square().sum())

    def _end_minibatch(self) -> None:
        for group, squares in self._squares.items():
            self._norms[f"gradient/{group}"].append(squares**0.5)
        self._squares.clear()

    def write(
        self,
        key_values: dict[str, Any],
        key_excluded: dict[str, tuple[str, ...]],
        step: int = 0,
    ) -> None:
        """Called by SB3 after an iteration, with the update of the one before."""
        if "train/approx_kl" not in key_values:
            return
        self.series["env_steps"].append(step)
        for logged, name in LOGGED.items():
            self.series[name].append(float(key_values[logged]))
        for name, norms in self._norms.items():
            self.series[name].append(statistics.fmean(norms))
        self._norms.clear()

    def close(self) -> None:
        """There is no file."""


def _groups(model: Any) -> Mapping[str, list[nn.Parameter]]:
    """The parameters of MemoryPPO by their groups; a peer's are its LSTMs and the rest, heads."""
    if hasattr(model.policy, "net"):
        return parameter_groups(model.policy.net)
    named = model.policy.named_parameters()
    groups: dict[str, list[nn.Parameter]] = {"memory": [], "heads": []}
    for name, parameter in named:
        groups["memory" if "lstm" in name else "heads"].append(parameter)
    return groups
