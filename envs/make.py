"""Environments by id: the tensor environment if there is one, Gymnasium for all other ids."""

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
from memrl.envs.minigrid.catalogue import grid_card
from memrl.envs.minigrid.reference import memory_card
from memrl.envs.options import checked_options, options_of, options_of_original
from memrl.envs.popgym import POPGYM
from memrl.envs.popgym.catalogue import package_card, popgym_card
from memrl.envs.probes import PROBES, probe_card, trial_levels
from memrl.envs.providers import missing_files, provide, provider_of
from memrl.envs.trials import Trials
from memrl.envs.wrappers import with_previous
from memrl.errors import nearest, nearly_as_near
from memrl.options import whole_number
from memrl.plugins import import_plugin, is_own
from memrl.rollout.env import BatchedEnv

GYMNASIUM = "gymnasium"


# Cards of ids outside the tensor families, by prefix.
PACKAGE_CARDS: dict[str, Callable[..., EnvCard]] = {
    "MiniGrid-": grid_card,
    "BabyAI-": grid_card,
    "popgym-": package_card,
}


class TensorFamily(NamedTuple):
    """The tasks of one tensor implementation.

    ``build(id)(num, device=…, **options)`` makes one; ``card(id, **options)`` describes it. Both
    take the options of `make`.
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


# Options of `make` that leave a Gymnasium task as its card describes it. A card that depends on
# prev_action takes it as a parameter.
_NEUTRAL_OPTIONS = ("vectorization", "step_limit_s", "read_text", "prev_action")


def family_of(id: str) -> str:
    """The family of an id: one of ``TENSOR_FAMILIES``, or ``gymnasium``."""
    return next((name for name, f in TENSOR_FAMILIES.items() if id in f.ids), GYMNASIUM)


def card(
    id: str, *, family: str | None = None, trial: int | None = None, **options: Any
) -> EnvCard:
    """The card of a task under the options of `make`; an empty card for an unknown task.

    With ``trial`` the levels are those of a trial's return. Only probes know them.
    """
    known = _card(id, family, options)
    if trial is None:
        return known
    levels = trial_levels(id, trial, **options) if id in PROBES else None
    return known._replace(memory=None, levels=levels)


def _card(id: str, family: str | None, options: dict[str, Any]) -> EnvCard:
    own = family_of(id)
    if own != GYMNASIUM:
        describe = TENSOR_FAMILIES[own].card
        return _original(id, describe, options) if family == GYMNASIUM else describe(id, **options)
    known = (describe for prefix, describe in PACKAGE_CARDS.items() if id.startswith(prefix))
    return _original(id, next(known, lambda _: EnvCard()), options)


def _original(id: str, describe: Callable[..., EnvCard], options: dict[str, Any]) -> EnvCard:
    """The card of a package's own task; empty if an option of the package changes the task."""
    known = inspect.signature(describe).parameters
    if any(name not in known and name not in _NEUTRAL_OPTIONS for name in options):
        return EnvCard()
    return describe(id, **{name: value for name, value in options.items() if name in known})


def envs() -> list[dict[str, Any]]:
    """Every registered id with its card.

    The entries are ``id``, ``kind`` (tensor or adapter), ``family``, and those of the `card`:
    ``observation``, ``memory`` (strict, search, not needed) and ``levels`` by name.

    The list lacks Gymnasium ids of packages that are not imported yet, although `make` can make
    them. It also lacks ids that cannot work: those that Gymnasium registers only to raise an
    error, and tasks that need files which no package contains.
    """
    tensor = [
        _entry(id, "tensor", name) for name, family in TENSOR_FAMILIES.items() for id in family.ids
    ]
    known = {entry["id"] for entry in tensor}
    others = [id for id in gymnasium.registry if id not in known and not id.startswith("memrl/")]
    usable = sorted(id for id in others if not (missing_files(id) or _only_raises(id)))
    return tensor + [_entry(id, "adapter", GYMNASIUM) for id in usable]


def _only_raises(id: str) -> bool:
    """Whether Gymnasium registers an id only to raise an error, like MuJoCo's -v2 and -v3."""
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
    trial: int | None = None,
    family: str | None = None,
    **kwargs: Any,
) -> BatchedEnv:
    """Make ``num`` environments of a task, as tensors on ``device``.

    Args:
        id: one of `envs`, or any id that Gymnasium can make (``module:Name-v0`` imports the
            module first).
        num: number of environments, at least 1.
        device: of observations and actions.
        seed: seeds the environments, so that a later ``reset()`` is repeatable.
        prev_action: add the previous action to the observation (see `Previous`).
        prev_reward: add the previous reward to the observation.
        antialias: mark first observations with the flag ``is_t0``, as in POPGym's paper.
        trial: episodes of one task that are played as one, a trial (see `Trials`), at least 1. It
            adds ``prev_done``, ``prev_action`` and ``prev_reward`` to the observation. A task of
            Gymnasium is a seed (see `Trial`).
        family: the implementation, by default `family_of` the id. ``gymnasium`` makes the
            package's own task even if there is a tensor environment.
        kwargs: options of the family. The ``gymnasium`` family takes those of `vector_env`
            (``vectorization``, ``step_limit_s``, ``read_text``) and passes all others to
            ``gymnasium.make``.

    Raises:
        ValueError: an unknown id, family, option or device, or a number that is none or outside of
            its range: ``num`` is at least 1, ``seed`` at least 0 and below 2³². A trial needs a
            task without goals.
    """
    num = whole_number("num", num, least=1)
    if seed is not None:
        seed = whole_number("seed", seed, least=0, below=2**32)
    if trial is not None:
        trial = whole_number("trial", trial, least=1)
        prev_action = prev_reward = True
    place = _device(device)
    name = family_of(id) if family is None else family
    if name == GYMNASIUM:
        _register(id)
        vector = vector_env(id, num, trial=trial, **kwargs)
        env: BatchedEnv = GymnasiumAdapter(vector, device=place, name=id)
    else:
        build = _builder(id, name)
        env = build(num, device=place, **checked_options(id, build, kwargs))
        env = env if trial is None else Trials(env, episodes=trial)
    env = with_previous(env, action=prev_action, reward=prev_reward, antialias=antialias)
    if seed is not None:
        env.reset(seed)
    return env


def check(id: str, *, family: str | None = None, **kwargs: Any) -> None:
    """Check an id and its options without making the environment.

    This does not check the ranges of options, nor the options of a package's own task: `make`
    does.

    Args:
        id: as for `make`.
        family: as for `make`.
        kwargs: options of the family.

    Raises:
        ValueError: an unknown id, family or option, or an option of another type.
    """
    name = family_of(id) if family is None else family
    if name == GYMNASIUM:
        _register(id)
    else:
        checked_options(id, _builder(id, name), kwargs)


def is_known(id: str) -> bool:
    """Whether `make` can make an id without importing a module of one's own."""
    return (
        family_of(id) != GYMNASIUM or provider_of(id) is not None or id in gymnasium.registry
    ) and ":" not in id


def own_module(id: str) -> str | None:
    """The module of one's own that registers an id: the one it names, or that of its class."""
    if module := id.rpartition(":")[0]:
        return module
    if family_of(id) != GYMNASIUM or id not in gymnasium.registry:
        return None
    spec = gymnasium.spec(id)
    entry = spec.entry_point or spec.vector_entry_point
    maker = entry.partition(":")[0] if isinstance(entry, str) else getattr(entry, "__module__", "")
    return maker if is_own(maker) else None


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


def options(id: str, *, family: str | None = None) -> dict[str, Any]:
    """The options of a task, which `make` passes to the ``family``, with their defaults.

    A required option has the default ``inspect.Parameter.empty``. A package's own task may take
    further options if its constructor has ``**kwargs``.

    Raises:
        ValueError: an unknown id or family, or the id needs a package that is not installed.
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
    """The constructor of a task of a tensor family."""
    if family not in TENSOR_FAMILIES:
        allowed = [*TENSOR_FAMILIES, GYMNASIUM]
        hint = nearest(family, allowed)
        raise ValueError(f"family is {family!r}, allowed: {', '.join(allowed)}{hint}")
    return TENSOR_FAMILIES[family].build(_known(id, TENSOR_FAMILIES[family].ids))


def _device(device: torch.device | str) -> torch.device:
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"the device {str(device)!r} cannot be used: {reason}") from error
    return place
