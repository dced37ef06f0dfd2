"""The fifteen CartPole and Pendulum tasks of popgym 1.0.7, by their ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from memrl.envs.catalogue import EnvCard, Levels, describe_space
from memrl.envs.popgym.control import CartPole, Control, Pendulum
from memrl.envs.popgym.tasks import DIFFICULTIES


def _tasks() -> Iterator[tuple[str, Callable[..., Control]]]:
    balance, turns = (200, 400, 600), (200, 150, 100)  # env steps of an episode
    noises = (0.1, 0.2, 0.3)  # noisy tasks have 200 steps in every difficulty
    for level, steps, shorter, noise in zip(DIFFICULTIES, balance, turns, noises, strict=True):
        yield f"PositionOnlyCartPole{level}", partial(CartPole, steps=steps)
        # The package spells this id with a small p.
        yield f"VelocityOnlyCartpole{level}", partial(CartPole, seen="velocity", steps=steps)
        yield f"NoisyPositionOnlyCartPole{level}", partial(CartPole, noise=noise)
        yield f"PositionOnlyPendulum{level}", partial(Pendulum, steps=shorter)
        yield f"NoisyPositionOnlyPendulum{level}", partial(Pendulum, noise=noise)


def _game(task: tuple[str, Callable[..., Control]]) -> str:
    """The name of a task without its difficulty; the sort keeps the order of difficulties."""
    return next(task[0].removesuffix(level) for level in DIFFICULTIES if task[0].endswith(level))


CONTROL: Final[dict[str, Callable[..., Control]]] = {
    f"popgym-{name}-v0": build for name, build in sorted(_tasks(), key=_game)
}


def control_card(id: str, **options: Any) -> EnvCard:
    """The card of an id of ``CONTROL``.

    Without noise, two observations determine the state of cart and pole, so that an agent can
    balance the pole: the best return is 1. The other levels have no closed form.
    """
    task = CONTROL[id](1, **options)
    is_cart = isinstance(task, CartPole)
    best = 1.0 if is_cart and not task.noise else None
    return EnvCard(
        observation=describe_space(task.observation_space),
        memory="strict",
        levels=Levels("return", optimum=best) if best is not None else None,
        actions=("push left", "push right") if is_cart else (),
    )
