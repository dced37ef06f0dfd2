"""Check that environments and memory need no host, as a CUDA graph requires."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from memrl.memory import state as states
from memrl.memory.core import MemoryCore
from memrl.memory.ops.host import without_host
from memrl.policies.actor_critic import Policy
from memrl.rollout.collect import Collector
from memrl.rollout.env import Carried, Obs


def check_capturable(collector: Collector) -> Carried:
    """Check that CUDA graphs can act, and learn; returns the state of the environments.

    Raises:
        ValueError: it cannot; the message names what needs the host.
    """
    carried = collector.env.carried()
    if carried is None:
        raise ValueError(
            "capture=true needs environments that step on the device, and these step on the host "
            "(`memrl envs` lists those of kind tensor)"
        )
    checks = {"steps": _step_without_values, "learns": _learn_without_values}
    for verb, check in checks.items():
        try:
            check(collector.policy, collector.obs, collector.env.num_envs)
        except RuntimeError as error:
            name = type(collector.policy.core).__name__
            raise ValueError(
                f"capture=true needs a memory that {verb} on the device, and {name} as it is set "
                "needs the host"
            ) from error
    device = collector.env.device
    if device.type != "cuda":
        raise ValueError(
            f"capture=true records a CUDA graph, and device={device} has none (allowed: cuda, "
            "cuda:N)"
        )
    return carried


def _step_without_values(policy: Policy, obs: Obs, num_envs: int) -> None:
    """Step a policy on the meta device, where tensors have shapes but no values.

    Raises:
        RuntimeError: the host reads a value, or creates a tensor from one.
    """
    ghost = _ghost(policy)
    seen = {key: value.to("meta") for key, value in obs.items()}
    start = torch.ones(num_envs, dtype=torch.bool, device="meta")
    with torch.no_grad(), _NothingFromHost():
        state = states.clone(ghost.initial_state(num_envs))
        out = ghost.step(seen, state, start, donate=True)
        ghost.step(seen, out.state, start)
        out.actions.log_prob(out.actions.mode())


def _learn_without_values(policy: Policy, obs: Obs, num_envs: int) -> None:
    """Compute gradients of two steps in the same way; raises as ``_step_without_values``."""
    ghost = _ghost(policy)
    seen = {key: value.to("meta").expand(2, *value.shape) for key, value in obs.items()}
    start = torch.ones(2, num_envs, dtype=torch.bool, device="meta")
    with without_host(), _NothingFromHost():
        out = ghost(seen, ghost.initial_state(num_envs), start)
        log_prob = out.actions.log_prob(out.actions.mode())
        terms = [log_prob, out.actions.entropy(), out.value]
        terms += [] if out.cost is None else [out.cost]
        torch.stack(terms).sum().backward()  # type: ignore[no-untyped-call]


def _ghost(policy: Policy) -> Policy:
    """A copy of a policy on the meta device."""
    ghost = copy.deepcopy(policy).to("meta")
    for module in ghost.modules():
        if isinstance(module, MemoryCore):
            module.compiled = False  # nothing is compiled for this device
    return ghost


class _NothingFromHost(TorchFunctionMode):
    """Refuse calls that create a tensor from host values, which synchronise with the device."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (torch.tensor, torch.as_tensor, Tensor.new_tensor):
            raise RuntimeError(f"{func.__name__} takes numbers from the host")
        return func(*args, **(kwargs or {}))
