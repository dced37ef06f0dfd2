"""Every number in a config is finite, unless its field says otherwise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from typing import Annotated, Any

import pytest
from pydantic.types import AllowInfNan

import memrl
from memrl.agents.registry import AGENTS
from memrl.bonus.registry import BONUSES
from memrl.config.models import Config, check
from memrl.memory import registry
from memrl.options import Strict, check_options
from memrl.supervised.config import FitConfig, compose_fit

CONFIGS = {
    **{agent: (Config, memrl.compose([f"agent={agent}"])) for agent in AGENTS.names()},
    "fit": (FitConfig, compose_fit(["task=copy"])),
}


def numbers(node: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from numbers(value, (*path, key))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield (*path, key)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan], ids=str)
@pytest.mark.parametrize("name", CONFIGS)
def test_no_number_of_a_config_may_be_infinite(name, value):
    model, config = CONFIGS[name]
    plain = config.model_dump(mode="json")
    found = [*numbers(plain)]
    assert len(found) > 10
    for path in found:
        changed: Any = deepcopy(plain)
        node = changed
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = value
        with pytest.raises(ValueError, match=rf"{path[-1]}=-?(inf|nan)\b"):
            check(changed, model)


@pytest.mark.parametrize("menu", [registry.REGISTRY, BONUSES], ids=["memories", "bonuses"])
def test_no_number_of_a_class_that_a_word_chooses_may_be_infinite(menu):
    for word in menu.names():
        fields = menu.schema(word).model_fields
        floats = [name for name, field in fields.items() if type(field.default) is float]
        for option in floats:
            with pytest.raises(ValueError, match=f"{option}=inf"):
                menu.checked(word, {option: math.inf})


def test_an_option_of_a_task_may_not_be_infinite():
    with pytest.raises(ValueError, match="noise=inf: input should be a finite number"):
        memrl.make("popgym-NoisyPositionOnlyCartPoleEasy-v0", noise=math.inf)


def test_a_field_that_says_so_may_be_infinite():
    class Limits(Strict):
        seconds: Annotated[float, AllowInfNan()] = math.inf
        rate: float = 1.0

    assert check_options("limits", Limits, {"seconds": math.inf})["seconds"] == math.inf
    with pytest.raises(ValueError, match="rate"):
        check_options("limits", Limits, {"rate": math.inf})
