"""Which keys of ``agent.bonus`` a kind of bonus reads: the options of its constructor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from memrl.bonus import BONUSES
from memrl.bonus.registry import NONE
from memrl.errors import nearest
from memrl.registry import is_built_in


def built_in() -> dict[str, type[BaseModel]]:
    """The built-in bonuses and their options."""
    names = [name for name in BONUSES.names() if is_built_in(BONUSES.find(name))]
    return {name: BONUSES.schema(name) for name in names}


def options_of_kind(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All options that a config of ``kind`` holds: those that are given, and defaults.

    Raises:
        ValueError: no bonus has that name, an option that it does not read was changed, or one has
            a value that is not allowed; the sentence says which are.
    """
    menu = built_in()
    if kind != NONE and not is_built_in(BONUSES.find(kind)):
        return BONUSES.checked(kind, given)
    own = {} if kind == NONE else BONUSES.schema(kind).model_fields
    defaults = {
        option: field.default
        for schema in menu.values()
        for option, field in schema.model_fields.items()
    }
    for option, value in given.items():
        if option in own or (option in defaults and defaults[option] == value):
            continue
        if option not in defaults:
            raise ValueError(_unknown(option, [*own] if own else [*defaults]))
        readers = ", ".join(name for name, schema in menu.items() if option in schema.model_fields)
        raise ValueError(
            f"agent.bonus.{option}={value} is not read by agent.bonus.kind={kind} "
            f"(it is by {readers})"
        )
    read = {option: value for option, value in given.items() if option in own}
    return defaults | (BONUSES.checked(kind, read) if own else {})


def _unknown(option: str, known: list[str]) -> str:
    common = ["kind", "scale", "anneal", "key"]
    hint = nearest(option, [*common, *known])
    return f"unknown key agent.bonus.{option}{hint} (known: {', '.join([*common, *known])})"
