"""Environments by id: tensor environments where there is one, Gymnasium for every other id."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import gymnasium
import torch

from memrl.envs.adapters.gymnasium_env import GymnasiumAdapter
from memrl.envs.adapters.vectorization import vector_env
from memrl.envs.catalogue import EnvCard
from memrl.envs.minigrid import GRID_IDS, MEMORY_IDS, GridEnv, MemoryEnv
from memrl.envs.minigrid.needs import grid_card
from memrl.envs.minigrid.reference import memory_card
from memrl.envs.options import checked_options, options_of, options_of_original
from memrl.envs.popgym import POPGYM
from memrl.envs.popgym.catalogue import package_card, popgym_card
from memrl.envs.probes import PROBES, probe_card
from memrl.envs.providers import lacking, provide
from memrl.envs.wrappers import Previous
from memrl.plugins import import_plugin
from memrl.registry import nearly_as_near
from memrl.rollout.env import BatchedEnv

GYMNASIUM = "gymnasium"


# Cards of ids that no family describes, by how those ids begin.
PACKAGE_CARDS: dict[str, Callable[..., EnvCard]] = {
    "MiniGrid-": grid_card,
    "BabyAI-": grid_card,
    "popgym-": package_card,
}


class TensorFamily(NamedTuple):
    """Tasks of one tensor implementation: ``build(id)(num, device=…, **options)`` makes them.

    ``card(id, **options)`` describes one, the options being those of `make`.
    """

    ids: tuple[str, ...]
    build: Callable[[str], Callable[..., BatchedEnv]]
    card: Callable[..., EnvCard]


TENSOR_FAMILIES: dict[str, TensorFamily] = {
    "minigrid_memory": TensorFamily(
        tuple(MEMORY_IDS), lambda id: partial(MemoryEnv, id), memory_card
    ),
    "minigrid": TensorFamily(tuple(GRID_IDS), lambda id: partial(GridEnv, id), grid_card),
    "popgym": TensorFamily(tuple(POPGYM), POPGYM.__getitem__, popgym_card),
    "probe": TensorFamily(tuple(PROBES), PROBES.__getitem__, probe_card),
}


# Options of `make` for Gymnasium that do not change a task. (Nor does the previous action, unless
# a card says so.)
_HOW_IT_IS_PLAYED = ("vectorization", "step_limit_s", "read_text", "prev_action")


def family_of(id: str) -> str:
    """The family that makes an id: one of ``TENSOR_FAMILIES``, or else ``gymnasium``."""
    return next((name for name, f in TENSOR_FAMILIES.items() if id in f.ids), GYMNASIUM)


def card(id: str, *, family: str | None = None, **options: Any) -> EnvCard:
    """What is known of a task under the options that `make` would get; empty for a foreign id."""
    own = family_of(id)
    if own != GYMNASIUM:
        describe = TENSOR_FAMILIES[own].card
        return _original(id, describe, options) if family == GYMNASIUM else describe(id, **options)
    fitting = (describe for start, describe in PACKAGE_CARDS.items() if id.startswith(start))
    return _original(id, next(fitting, lambda _: EnvCard()), options)


def _original(id: str, describe: Callable[..., EnvCard], options: dict[str, Any]) -> EnvCard:
    """The card of a package's own task; nothing is known of one under options of the package's."""
    told = inspect.signature(describe).parameters
    if any(name not in told and name not in _HOW_IT_IS_PLAYED for name in options):
        return EnvCard()
    return describe(id, **{name: value for name, value in options.items() if name in told})


def envs() -> list[dict[str, Any]]:
    """Every id that `make` knows now, and what is known of it.

    Entries are ``id``, ``kind`` (tensor or adapter), ``family``, and those of its `card`:
    ``observation``, ``memory`` (strict, search, not needed) and ``levels`` by name.
    Gymnasium ids of packages that were not imported yet are made all the same, but not listed.
    Ids that nothing installed can make work are left out: those that Gymnasium registers to say
    where they have gone, and tasks whose files no package brings.
    """
    tensor = [
        _entry(id, "tensor", name) for name, family in TENSOR_FAMILIES.items() for id in family.ids
    ]
    known = {entry["id"] for entry in tensor}
    others = [id for id in gymnasium.registry if id not in known and not id.startswith("memrl/")]
    usable = sorted(id for id in others if not (lacking(id) or _only_raises(id)))
    return tensor + [_entry(id, "adapter", GYMNASIUM) for id in usable]


def _only_raises(id: str) -> bool:
    """Whether Gymnasium keeps an id for the sake of its error, as of MuJoCo's -v2 and -v3."""
    maker = gymnasium.spec(id).entry_point
    return getattr(maker, "__name__", "").startswith("_raise")


def _entry(id: str, kind: str, family: str) -> dict[str, Any]:
    known = card(id)
    return {
        "id": id,
        "kind": kind,
        "family": family,
        "observation": known.observation,
        "memory": known.memory,
        "levels": known.levels._asdict() if known.levels else None,
    }


def make(
    id: str,
    num: int = 1,
    device: torch.device | str = "cpu",
    seed: int | None = None,
    *,
    prev_action: bool = False,
    prev_reward: bool = False,
    antialias: bool = False,
    family: str | None = None,
    **kwargs: Any,
) -> BatchedEnv:
    """``num`` copies of a task, as tensors on ``device``.

    Args:
        id: one of `envs`, or any id that Gymnasium can make (``module:Name-v0`` imports first).
        num: copies, at least 1.
        device: where observations are made and actions are expected.
        seed: seeds the environments, so that a later ``reset()`` is repeatable.
        prev_action: add the previous action to the observation (see `Previous`).
        prev_reward: add the previous reward to the observation.
        antialias: mark first observations by a flag of their own, as POPGym's paper does.
        family: who makes it; by default `family_of` the id. ``gymnasium`` asks for the original
            of a task that has a tensor implementation too.
        kwargs: options of the family; for Gymnasium those of `vector_env` (``vectorization``,
            ``step_limit_s``, ``read_text``), the rest goes to ``gymnasium.make``.

    Raises:
        ValueError: an unknown id, family, option or device, or fewer than one copy.
    """
    if num < 1:
        raise ValueError(f"num is {num}, allowed: at least 1 copy")
    place = _device(device)
    name = family_of(id) if family is None else family
    if name == GYMNASIUM:
        _register(id)
        vector = vector_env(id, num, **kwargs)
        env: BatchedEnv = GymnasiumAdapter(vector, device=place, name=id)
    else:
        build = _builder(id, name)
        env = build(num, device=place, **checked_options(id, build, kwargs))
    if prev_action or prev_reward or antialias:
        env = Previous(env, action=prev_action, reward=prev_reward, antialias=antialias)
    if seed is not None:
        env.reset(seed)
    return env


def check(id: str, *, family: str | None = None, **kwargs: Any) -> None:
    """See that an id is known and takes such options, without making anything.

    Args:
        id: as for `make`.
        family: likewise.
        kwargs: options of the family; their ranges, and those of a package's own task, show when
            it is made.

    Raises:
        ValueError: an unknown id, family or option, or an option of another type.
    """
    name = family_of(id) if family is None else family
    if name == GYMNASIUM:
        _register(id)
    else:
        checked_options(id, _builder(id, name), kwargs)


def _register(id: str) -> None:
    """See to it that Gymnasium knows an id."""
    module, _, name = id.rpartition(":")
    if module:
        try:
            import_plugin(module)
        except ValueError as error:
            raise ValueError(f"{id}: {error}") from error
    provide(name)
    if (family := family_of(name)) != GYMNASIUM and name not in gymnasium.registry:
        raise ValueError(f"{name!r} has no original in Gymnasium: it is of the family {family!r}")
    tensor = (id for family in TENSOR_FAMILIES.values() for id in family.ids)
    ids = (*tensor, *gymnasium.registry)
    if module and name not in ids:
        raise ValueError(f"{module} registers no environment {name!r}{_nearest(name, ids)}")
    _known(name, ids, own=f"; one of your own is named with its module: env=MODULE:{name}")


def _known(id: str, ids: tuple[str, ...], own: str = "") -> str:
    if id in ids:
        return id
    raise ValueError(f"the environment {id!r} is unknown{_nearest(id, ids)}{own}")


def _nearest(word: str, known: tuple[str, ...]) -> str:
    near = nearly_as_near(
        word, difflib.get_close_matches(word, dict.fromkeys(known), n=3, cutoff=0.5)
    )
    return (
        f", did you mean {' or '.join(near)}?" if near else "; `memrl envs` lists those there are"
    )


def options(id: str, *, family: str | None = None) -> tuple[str, ...]:
    """The options of a task, by name, that `make` hands on to the ``family``.

    A package's own task may take more, where its constructor does not name what it takes.

    Raises:
        ValueError: an unknown id or family, or an id that lacks a package.
    """
    name = family_of(id) if family is None else family
    if name == GYMNASIUM:
        _register(id)
        try:
            return options_of_original(id)
        except ImportError as error:  # a package that is not installed
            raise ValueError(f"{id} cannot be made: {error}") from error
    return options_of(_builder(id, name))


def _builder(id: str, family: str) -> Callable[..., BatchedEnv]:
    """What makes copies of a task of a tensor family."""
    if family not in TENSOR_FAMILIES:
        allowed = [*TENSOR_FAMILIES, GYMNASIUM]
        raise ValueError(f"the family {family!r} is unknown, allowed: {', '.join(allowed)}")
    return TENSOR_FAMILIES[family].build(_known(id, TENSOR_FAMILIES[family].ids))


def _device(device: torch.device | str) -> torch.device:
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"the device {str(device)!r} cannot be used: {reason}") from error
    return place
