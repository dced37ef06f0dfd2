"""A menu of classes: names, option schemas read off constructors, construction, clear errors."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, final, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

T = TypeVar("T")
C = TypeVar("C", bound=type[Any])


@final
class Menu(Generic[T]):
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
            near = difflib.get_close_matches(name, self.names(), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            known = ", ".join(self.names())
            raise ValueError(f"unknown {self.kind} {name!r}{hint} (known: {known})")
        return self._classes[name]

    def schema(self, name: str) -> type[BaseModel]:
        """The options of a class as a strict pydantic model, read off its constructor."""
        cls = self.find(name)
        constructor: Any = cls.__init__
        hints = get_type_hints(constructor, include_extras=True)
        options: dict[str, Any] = {
            option: (hints[option], ... if given.default is given.empty else given.default)
            for option, given in inspect.signature(constructor).parameters.items()
            if given.kind is given.KEYWORD_ONLY
        }
        config = ConfigDict(extra="forbid", strict=True, frozen=True)
        return create_model(f"{cls.__name__}Options", __config__=config, **options)

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
            near = difflib.get_close_matches(option, list(model.model_fields), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            known = ", ".join(model.model_fields) or "none"
            return f"{self.kind} {name!r} has no option {option!r}{hint} (options: {known})"
        near = difflib.get_close_matches(str(first["input"]), choices(first), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        given = f"option {option}={first['input']!r}"
        return f"{self.kind} {name!r}, {given}: {first['msg'].lower()}{hint}"


def choices(error: Mapping[str, Any]) -> list[str]:
    """The words that an option takes, out of pydantic's error about another word; or none."""
    return re.findall(r"'([^']+)'", str(error.get("ctx", {}).get("expected", "")))
