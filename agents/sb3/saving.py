"""The parts of a saved `MemoryPPO`, and how a model is rebuilt from them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from stable_baselines3.common.type_aliases import GymEnv

from memrl.agents.sb3 import archive, schedules
from memrl.agents.sb3.options import plain
from memrl.agents.sb3.plugins import plugin_folders
from memrl.agents.sb3.policy import MemoryPolicy
from memrl.checkpoint.spaces import space_from_data, space_to_data
from memrl.errors import nearest
from memrl.rollout.spaces import brief_space

KIND = "MemoryPPO"
SCHEDULES = ("learning_rate", "clip_range", "clip_range_vf")
ARGUMENTS = (
    *("n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda", "normalize_advantage"),
    *("ent_coef", "vf_coef", "max_grad_norm", "bptt", "burn_in", "refresh_states", "target_kl"),
    "normalize_returns",
    *("tensorboard_log", "policy_kwargs", "verbose", "seed"),
)
COUNTERS = (
    *("num_timesteps", "_total_timesteps", "_num_timesteps_at_start", "_episode_num"),
    *("_n_updates", "_current_progress_remaining"),
)


def model_parts(model: Any) -> dict[str, Any]:
    """Everything that acting and further training need, except for the environments."""
    arguments = {name: plain(getattr(model, name)) for name in ARGUMENTS} | {"bptt": model._bptt}
    arguments |= {name: schedules.to_data(getattr(model, name)) for name in SCHEDULES}
    arguments["stats_window_size"] = model._stats_window_size
    return {
        "data": {
            "arguments": arguments,
            "plugins": plugin_folders(arguments["policy_kwargs"]),
            "policy_class": model.policy_class.__name__,
            "counters": {name: getattr(model, name) for name in COUNTERS},
            "observation_space": space_to_data(model.observation_space),
            "action_space": space_to_data(model.action_space),
            "n_envs": model.n_envs,
            "masks": model.policy.masks,
            "episodes": None if model.ep_info_buffer is None else list(model.ep_info_buffer),
            "successes": None if model.ep_success_buffer is None else list(model.ep_success_buffer),
        },
        "policy": dict(getattr(model.policy, "_orig_mod", model.policy).state_dict()),
        "policy.optimizer": model.learner.optimizer.state_dict(),
        "pytorch_variables": {
            "generators": [generator.get_state() for generator in model.generators()],
            "collector": model.collector_state(),
            "last_obs": model._last_obs,
            "last_episode_starts": model._last_episode_starts,
            "normalisation": model.normalisation_state(),
        },
    }


def choose(arguments: dict[str, Any], exclude: Iterable[str], include: Iterable[str]) -> None:
    """Drop excluded arguments that are not included after all.

    Raises:
        ValueError: a name that a file must contain, or cannot.
    """
    include = list(include)
    for name in include:
        if name not in (*arguments, *COUNTERS, "policy", "ep_info_buffer", "ep_success_buffer"):
            raise ValueError(
                f"include={name!r}: a file contains tensors and plain values only; save it yourself"
                f"{nearest(name, arguments)}"
            )
    for name in set(exclude).difference(include):
        if name == "policy_kwargs" or name in ("policy", *COUNTERS):
            raise ValueError(f"exclude={name!r}: a model cannot be loaded without it")
        arguments.pop(name, None)


def rebuild(
    cls: Callable[..., Any],
    saved: Mapping[str, Any],
    env: GymEnv | None,
    *,
    device: Any,
    given: Mapping[str, Any],
    force_reset: bool,
) -> Any:
    """A model from ``model_parts`` in ``env``; ``given`` arguments replace the saved ones.

    Raises:
        ValueError: an argument is unknown, or cannot be saved and is missing; or the memory, a
            space or the number of environments differs.
    """
    data, variables = saved["data"], saved["pytorch_variables"]
    given = dict(given)
    policy = given.pop("policy", MemoryPolicy)
    if policy.__name__ != data["policy_class"]:
        raise ValueError(
            f"the file contains a policy of the class {data['policy_class']}, not "
            f"{policy.__name__}: pass it as load(path, policy=…)"
        )
    counters = {name: given.pop(name) for name in COUNTERS if name in given}
    _check_spaces(data, given)
    arguments, n_envs = _arguments(data, given)
    if n_envs != data["n_envs"] and not force_reset:
        raise ValueError(
            f"n_envs={n_envs} with force_reset=False, allowed: {data['n_envs']}, as in the file, "
            "or force_reset=True"
        )
    no_env: Any = None  # the file contains the spaces and sizes
    model = cls(policy, no_env, device=device, _init_setup_model=False, **arguments)
    model.observation_space = space_from_data(data["observation_space"])
    model.action_space = space_from_data(data["action_space"])
    model.n_envs, model.masks = n_envs, data["masks"]
    model._setup_model()
    _restore_values(model, saved)
    for name, value in counters.items():
        setattr(model, name, plain(value))
    model._saved_normalisation = variables["normalisation"]
    if not force_reset:
        model._saved_collector = variables["collector"]
        model._last_obs = variables["last_obs"]
        model._last_episode_starts = variables["last_episode_starts"]
        model._carried_starts = model._last_episode_starts
    if env is not None:
        model.set_env(env, force_reset=force_reset)
    if given.get("seed") is not None:
        model.set_random_seed(given["seed"])
    return model


def _check_spaces(data: Mapping[str, Any], given: dict[str, Any]) -> None:
    """Take spaces out of ``given``; raises ValueError if they are not the saved ones."""
    for name in ("observation_space", "action_space"):
        if name in given and space_to_data(given[name]) != data[name]:
            here = brief_space(space_from_data(data[name]))
            raise ValueError(
                f"{name} is {brief_space(given[name])}, allowed: {here}, as in the file"
            )
        given.pop(name, None)


def _restore_values(model: Any, saved: Mapping[str, Any]) -> None:
    data = saved["data"]
    for name, value in data["counters"].items():
        setattr(model, name, value)
    window = model._stats_window_size
    if data["episodes"] is not None:
        model.ep_info_buffer = deque(data["episodes"], maxlen=window)
        model.ep_success_buffer = deque(data["successes"], maxlen=window)
    model.set_parameters(_parameters(saved))
    variables = saved["pytorch_variables"]
    for generator, state in zip(model.generators(), variables["generators"], strict=True):
        generator.set_state(state)


def _arguments(data: Mapping[str, Any], given: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The constructor's arguments and the number of environments."""
    n_envs = int(given.pop("n_envs", data["n_envs"]))
    if "lr_schedule" in given:  # SB3's custom_objects may replace a learning rate by this name
        given.setdefault("learning_rate", given["lr_schedule"])
        del given["lr_schedule"]
    own = dict(data["arguments"])
    known = [*ARGUMENTS, *SCHEDULES, "stats_window_size"]
    for name in given:
        if name not in known:
            raise ValueError(f"load has no argument {name!r}{nearest(name, known)}")
    if "policy_kwargs" in given:
        check_same_policy(own["policy_kwargs"], given["policy_kwargs"] or {})
    for name in SCHEDULES:
        if name in own and name not in given:
            own[name] = schedules.from_data(own[name])
    return own | given, n_envs


def check_same_policy(saved: Mapping[str, Any], present: Mapping[str, Any]) -> None:
    """Check that the file's policy is the present one.

    Raises:
        ValueError: the memory or its options differ; the message names both.
    """
    there, here = (kwargs.get("memory", "lstm") for kwargs in (saved, present))
    if there != here:
        raise ValueError(f"the file contains a policy with memory {there!r}, not {here!r}")
    if dict(saved) != dict(present):
        raise ValueError(f"the file contains a policy with {dict(saved)}, not {dict(present)}")


def read_parameters(place: archive.PathOrStream, model: Any) -> dict[str, Any]:
    """The parameters and optimiser state of a file, for a model with the same policy.

    Raises:
        ValueError: like `archive.read`, or the file's policy differs.
    """
    saved = archive.read(place, kind=KIND)
    check_same_policy(saved["data"]["arguments"]["policy_kwargs"], model.policy_kwargs)
    return _parameters(saved)


def _parameters(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters and optimiser state; those of older files in the present form."""
    policy, optimizer = dict(saved["policy"]), dict(saved["policy.optimizer"])
    statistics = saved["pytorch_variables"].get("return_norm")  # lay outside of the policy
    policy |= {f"return_norm.{name}": value for name, value in (statistics or {}).items()}
    first, *others = optimizer["param_groups"]
    if others:  # there was a group for each part of the network
        whole = [index for group in (first, *others) for index in group["params"]]
        optimizer["param_groups"] = [first | {"params": whole}]
    return {"policy": policy, "policy.optimizer": optimizer}
