"""memrl check: a memory is held to its contract, any other part of one's own to a short run."""

from __future__ import annotations

import inspect
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from memrl.agents.registry import AGENTS
from memrl.bonus import BONUSES
from memrl.checkpoint import file as checkpoint
from memrl.cli.arguments import values
from memrl.config.composition import compose
from memrl.evaluation.evaluate import evaluate
from memrl.memory import registry
from memrl.nn.encoder import ENCODERS
from memrl.pipeline.build import check_env, make_agent, make_env
from memrl.pipeline.setup import prepare
from memrl.plugins import import_plugin, own_error
from memrl.registry import Registry
from memrl.run.agent import Learner, Metrics
from memrl.run.global_generators import randomness_state, restore_randomness
from memrl.supervised.config import compose_fit
from memrl.supervised.evaluation import evaluate_lengths
from memrl.supervised.fitting import make_learner
from memrl.tasks import REGISTRY as TASKS
from memrl.testing.core_contract import IN_DIM, Result, check_core
from memrl.testing.core_runs import BrokenContract, require
from memrl.tracking.metrics_file import is_time

# The other menus, with the key that holds the options of a class.
MENUS: Final[dict[str, tuple[Registry[Any], str]]] = {
    "task": (TASKS, "task"),
    "policy.encoder": (ENCODERS, "policy.encoder_options"),
    "agent.bonus.kind": (BONUSES, "agent.bonus"),
    "agent": (AGENTS, "agent"),
}


def check_class(target: str, words: Sequence[str]) -> None:
    """Check ``module:Class``, or a class that has a name, and print each property.

    ``words`` are its options. With ``env=ID`` and keys of ``env`` among them, what is tried in an
    environment is tried in that one.

    Raises:
        ValueError: there is no such class, it belongs to no menu, or it breaks a property.
    """
    key = menu_of(target)
    if key is None:
        results, whole = check_memory(target, values(words)), "keeps the contract of a memory core"
        of = "the contract"
    else:
        results, subject = check_part(key, target, words)
        whole, of = f"holds in a run of {subject}", f"a run of {subject}"
    for result in results:
        print(f"{'ok  ' if result.passed else 'FAIL'} {result.name}")
        if not result.passed:
            print(f"     {result.reason}")
    failed = sum(not result.passed for result in results)
    if failed:
        raise ValueError(f"{target} breaks {failed} of {len(results)} properties of {of}")
    print(f"{target} {whole}")


def menu_of(target: str) -> str | None:
    """The key of the menu that a class is on; None for a memory.

    Raises:
        ValueError: it is on none, its module does not import, or nothing has that name.
    """
    menus: dict[str | None, Registry[Any]] = {None: registry.REGISTRY}
    menus |= {key: menu for key, (menu, _) in MENUS.items()}
    module, colon, name = target.partition(":")
    value = getattr(import_plugin(module), name, None) if colon else None
    for key, menu in menus.items():
        is_on = inspect.isclass(value) and issubclass(value, menu.base)
        if is_on or (not colon and menu.knows(target)):
            return key
    if not colon:
        raise ValueError(f"{target!r} names no class; write MODULE:CLASS, as in my_module:MyCore")
    if value is None:
        registry.REGISTRY.named(target)  # says what the module has
    raise ValueError(f"{target} is no memory, task, encoder, bonus or agent")


def check_memory(target: str, options: dict[str, Any]) -> list[Result]:
    """The contract suite."""
    registry.build(target, IN_DIM, options)
    return check_core(lambda in_dim: registry.build(target, in_dim, options))


def check_part(key: str, target: str, words: Sequence[str]) -> tuple[list[Result], str]:
    """A short run with a class on the menu of ``key``, and the environment or task of the run.

    Each property needs those before it.
    """
    _, group = MENUS[key]
    own = [word for word in words if key == "task" or not word.startswith(("env=", "env."))]
    env = [word for word in words if word not in own]
    changes = [f"{key}={target}", *(f"{group}.{word}" for word in own)]
    small = ["env=probe", "env.num=16"] if key == "agent" else ["+run=smoke"]
    run = _fit(changes) if key == "task" else _train([*small, *env, *changes])
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, holds in _properties(run, Path(folder)):
            results.append(_result(name, holds))
            if not results[-1].passed:
                break
    return results, run.subject


class _Run(NamedTuple):
    """How a learner is built and evaluated, and how much it learns."""

    build: Callable[[], Any]
    evaluate: Callable[[Any], object]
    few: int  # env steps or sequences, of at least one iteration
    subject: str  # the environment or the task


def _train(words: Sequence[str]) -> _Run:
    config = compose([*words, "threads=1"])
    check_env(config.env)
    prepare(config)

    def play(agent: Any) -> object:
        return evaluate(agent, make_env(config), 4, 1, show_progress=False)

    return _Run(lambda: make_agent(config, make_env(config)), play, 256, config.subject)


def _fit(words: Sequence[str]) -> _Run:
    config = compose_fit([*words, "learner.batch=4", "learner.batches=2", "threads=1"])
    prepare(config)

    def answer(learner: Any) -> object:
        task, device = learner.task, learner.device
        lengths = [task.max_length]
        return evaluate_lengths(task, learner.model, lengths, 4, seed=1, device=device)

    return _Run(lambda: make_learner(config), answer, 8, config.subject)


def _properties(run: _Run, folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Names and checks, in an order in which each builds on those before."""
    made: list[Learner] = []
    before: list[Metrics] = []
    after: list[Metrics] = []
    again: list[Metrics] = []
    path = folder / "state.safetensors"

    yield "it is built", lambda: made.append(run.build())

    def learns() -> None:
        made[0].learn(run.few, before.append)
        _require_numbers(before)

    yield "it learns, and reports numbers", learns

    def continues() -> None:
        experience, generators = made[0].experience, randomness_state()
        checkpoint.save(path, made[0].state_dict(), experience=experience)
        made[0].learn(2 * experience, after.append)
        other = run.build()
        other.load_state_dict(checkpoint.load(path))
        restore_randomness(generators)
        other.learn(2 * experience, again.append)
        require(len(again) == len(after), "a loaded learner learns in other iterations")
        for one, two in zip(after, again, strict=True):
            lines = checkpoint.differences(_without_times(one), _without_times(two))
            require(not lines, f"a loaded learner reports other numbers: {', '.join(lines)}")

    yield "a saved state continues bit for bit", continues
    yield "it is evaluated", lambda: run.evaluate(made[0])


def _without_times(row: Metrics) -> Metrics:
    return {name: value for name, value in row.items() if not is_time(name)}


def _require_numbers(rows: Sequence[Metrics]) -> None:
    require(bool(rows), "no iteration was reported")
    for name, value in rows[-1].items():
        plain = isinstance(value, int | float)
        require(plain, f"the metric {name} is a {type(value).__name__}, allowed: a Python float")
        require(not math.isinf(value), f"the metric {name} is infinite")


def _result(name: str, holds: Callable[[], object]) -> Result:
    try:
        holds()
    except BrokenContract as error:
        return Result(name, False, str(error))
    except Exception as error:  # of the class: a result, not a crash of the check
        return Result(name, False, f"it raised {own_error(error)}")
    return Result(name, True, "")
