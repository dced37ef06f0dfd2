"""A menu of classes: names, option schemas read off constructors, construction, clear errors."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter
from typing import Any, Generic, TypeVar, final, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

T = TypeVar("T")
C = TypeVar("C", bound=type[Any])


@final
class Registry(Generic[T]):
    """Classes that a config chooses by ``<kind>=<name>``.

    A constructor is its own schema: its keyword-only arguments are the options, their annotations
    and defaults become a strict pydantic model.

    Args:
        kind: what is on the menu, in one word and in the plural, for messages.
        plural: likewise.
    """

    def __init__(self, kind: str, plural: str) -> None:
        self.kind, self.plural = kind, plural
        self._classes: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[C], C]:
        """Class decorator: make a class available under ``name``."""

        def add(cls: C) -> C:
            known = self._classes.get(name)
            if known is not None and known.__qualname__ != cls.__qualname__:
                raise ValueError(f"two {self.plural} are called {name!r}: {known} and {cls}")
            self._classes[name] = cls
            return cls

        return add

    def names(self) -> list[str]:
        """What is registered, in alphabetical order."""
        return sorted(self._classes)

    def find(self, name: str) -> type[T]:
        """The class behind a name.

        Raises:
            ValueError: nothing has that name; the nearest one is named.
        """
        if name not in self._classes:
            known, hint = ", ".join(self.names()), nearest(name, self.names())
            raise ValueError(f"unknown {self.kind} {name!r}{hint} (known: {known})")
        return self._classes[name]

    def schema(self, name: str) -> type[BaseModel]:
        """The options of a class as a strict pydantic model, read off its constructor."""
        constructor: Any = self.find(name).__init__
        return options_of(constructor, Parameter.KEYWORD_ONLY)

    def build(self, name: str, *fixed: Any, options: Mapping[str, Any] | None = None) -> T:
        """Check ``options`` against the schema and construct: positional arguments are ``fixed``.

        Raises:
            ValueError: an unknown name or option, or a value out of range: what was given, what is
                allowed, and the nearest match.
        """
        model = self.schema(name)
        try:
            checked = model(**(options or {}))
        except ValidationError as error:
            raise ValueError(self._explain(name, model, error)) from None
        # Not dict(checked): an option may be called "keys".
        chosen = {option: getattr(checked, option) for option in model.model_fields}
        return self.find(name)(*fixed, **chosen)

    def _explain(self, name: str, model: type[BaseModel], error: ValidationError) -> str:
        first = error.errors()[0]
        option = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(model.model_fields) or "none"
            hint = nearest(option, model.model_fields)
            return f"{self.kind} {name!r} has no option {option!r}{hint} (options: {known})"
        hint = nearest(str(first["input"]), choices(first))
        given = f"option {option}={first['input']!r}"
        return f"{self.kind} {name!r}, {given}: {first['msg'].lower()}{hint}"


def options_of(function: Callable[..., Any], kind: Any) -> type[BaseModel]:
    """The parameters of one ``kind`` (of ``inspect.Parameter``) as a strict pydantic model."""
    hints = get_type_hints(function, include_extras=True)
    options: dict[str, Any] = {
        option: (hints[option], ... if given.default is given.empty else given.default)
        for option, given in inspect.signature(function).parameters.items()
        if given.kind is kind
    }
    config = ConfigDict(extra="forbid", strict=True, frozen=True)
    return create_model("Options", __config__=config, **options)


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean …?``, or nothing where no known word is close."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def nearly_as_near(word: str, known: list[str]) -> list[str]:
    """Of words that resemble ``word``, nearest first, those that are hardly farther than it."""
    alike = [difflib.SequenceMatcher(None, word, each).ratio() for each in known]
    return [each for each, ratio in zip(known, alike, strict=True) if ratio > alike[0] - 0.05]


def choices(error: Mapping[str, Any]) -> list[str]:
    """The words that an option takes, out of pydantic's error about another word; or none."""
    return re.findall(r"'([^']+)'", str(error.get("ctx", {}).get("expected", "")))
