"""Classes that a config chooses by a word: registered, announced by packages, or module:Name."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint
from typing import Any, Generic, TypeVar, cast, final

from pydantic import BaseModel
from pydantic.errors import PydanticSchemaGenerationError

from memrl.errors import nearest
from memrl.options import check_options, constructor_options
from memrl.plugins import hint_for, how_to_name, import_plugin, load_offered, offered, package_of

T = TypeVar("T")
C = TypeVar("C", bound=type[Any])


class NotNamedError(ValueError):
    """A class lies in a module that is not imported, and that no person named.

    Attributes:
        word: what stands for the class.
        module: where it lies.
    """

    def __init__(self, kind: str, word: str, module: str) -> None:
        super().__init__(f"the {kind} {word!r} is not imported: {how_to_name([module])}")
        self.word, self.module = word, module


@final
class Registry(Generic[T]):
    """Classes that a config chooses by ``<kind>=<word>``.

    A word is a registered name, ``module:Name``, or a name that an installed package announces by
    an entry point. A constructor is its own schema: its keyword-only arguments are the options,
    their annotations and defaults become a strict pydantic model.

    Args:
        kind: what is on the menu, in one word and in the plural, for messages.
        plural: likewise.
        base: what each class derives from.
        group: of the entry points by which packages announce theirs.
        key: of a config, by which one is chosen; ``kind`` where it is not given.
        nothing: the word by which a config chooses none of the classes, where there is one.
        schema_of: the options of a class, if they are not the constructor's.
    """

    def __init__(
        self,
        kind: str,
        plural: str,
        base: type[Any],
        group: str,
        *,
        key: str | None = None,
        nothing: str | None = None,
        schema_of: Callable[[type[Any]], type[BaseModel]] | None = None,
    ) -> None:
        self.kind, self.plural, self.base, self.group = kind, plural, base, group
        self.key, self.nothing = key or kind, nothing
        self._schema_of = schema_of or constructor_options
        self._classes: dict[str, type[T]] = {}
        self._given: dict[str, type[T]] = {}  # classes that were handed over as such, by `word`

    def register(self, name: str) -> Callable[[C], C]:
        """Class decorator: make a class available under ``name``.

        Raises:
            ValueError: another class has that name; both are named.
        """

        def add(cls: C) -> C:
            known = self._classes.get(name)
            if known is not None and not _is_reloaded(known, cls):
                two = f"{_path(known)} and {_path(cls)}"
                raise ValueError(f"two {self.plural} are called {name!r}: {two}")
            self._classes[name] = cls
            return cls

        return add

    def names(self) -> list[str]:
        """What is registered in this process, in alphabetical order."""
        return sorted(self._classes)

    def words(self) -> list[str]:
        """All that can be chosen without naming a module: registered names, then packages' own.

        Where two share a name, a package's own is called ``module:Name``.
        """
        entries = offered(self.group)
        taken = [*self.names(), *(entry.name for entry in entries)]
        further = [e.name if taken.count(e.name) == 1 else e.value for e in entries]
        known = {_path(cls) for cls in self._classes.values()}
        return self.names() + [
            word for word, e in zip(further, entries, strict=True) if e.value not in known
        ]

    def foreign(self) -> list[str]:
        """Those of `words` whose classes are not memrl's own."""
        own = {name for name, cls in self._classes.items() if is_built_in(cls)}
        return [word for word in self.words() if word not in own]

    def knows(self, word: str) -> bool:
        """Whether a word is registered, offered by a package, or names a module.

        Raises:
            ValueError: two packages offer different classes under that name.
        """
        return ":" in word or word in self._classes or bool(self.offers(word))

    def origin(self, word: str) -> str:
        """Where a class comes from: ``built in``, a package and its version, or a module."""
        for entry in offered(self.group):
            if word == entry.value or (word == entry.name and word not in self._classes):
                return package_of(entry)
        cls = self.find(word)
        return "built in" if is_built_in(cls) else cls.__module__

    def named(self, word: str) -> type[T]:
        """The class behind a word that a person wrote: its module is imported.

        Raises:
            ValueError: as ``find``; or the module is not there, or does not import.
        """
        module, colon, _ = word.partition(":")
        if colon and word not in self._given and not self.offers(word):
            import_plugin(module)
        return self.find(word)

    def find(self, word: str) -> type[T]:
        """The class behind a word; no module is imported that no person named or installed.

        Raises:
            NotNamedError: its module is not imported.
            ValueError: nothing has that name (the nearest one is named), two have it, or what has
                it is no such class.
        """
        if word in self._classes:
            self._refuse_another(word)
            return self._classes[word]
        if word in self._given:
            return self._given[word]
        module, colon, name = word.partition(":")
        if colon and module in sys.modules:
            return self._member(module, name)
        if entries := self.offers(word):
            return self._checked(load_offered(entries[0]), word)
        if colon:
            raise NotNamedError(self.kind, word, module)
        words = [*([self.nothing] if self.nothing else []), *self.words()]
        known = f"known: {', '.join(words)}" if words else f"{self.key}=module:Name is your own"
        hint = hint_for(self.key, word, words)
        raise ValueError(f"unknown {self.kind} {word!r}{hint} ({known})")

    def module_of(self, word: str) -> str | None:
        """The module that a person must name to use a word elsewhere; None if none need be.

        Raises:
            ValueError: as ``find``.
        """
        if is_built_in(self.find(word)) or self.offers(word):
            return None
        return word.partition(":")[0] if ":" in word else self.find(word).__module__

    def missing(self, word: str, saved: Iterable[str]) -> list[str]:
        """The modules that must be imported before a word of a saved file means something.

        ``saved`` are the modules from outside that the file was made with: one of those that are
        not imported will register a name that nothing has here.

        Raises:
            ValueError: as ``find``, for other reasons.
        """
        if not self.knows(word):
            return [module for module in saved if module not in sys.modules]
        try:
            self.find(word)
        except NotNamedError as error:
            return [error.module]
        return []

    def word(self, given: str | type[T]) -> str:
        """The word for a class, which ``find`` knows from then on; a word stays what it is.

        Raises:
            ValueError: a class that is no such thing.
        """
        if isinstance(given, str):
            return given
        cls = self._checked(given, getattr(given, "__name__", repr(given)))
        own = [name for name, known in self._classes.items() if known is cls and is_built_in(cls)]
        word = own[0] if own else _path(cls)
        self._given[word] = cls
        return word

    def schema(self, word: str) -> type[BaseModel]:
        """The options of a class as a strict pydantic model.

        Raises:
            ValueError: as ``find``; or an option has no type that a config can hold.
        """
        cls = self.find(word)
        try:
            return self._schema_of(cls)
        except (ValueError, NameError, PydanticSchemaGenerationError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"the options of the {self.kind} {word!r}: {reason}") from None

    def build(self, word: str, *fixed: Any, options: Mapping[str, Any] | None = None) -> T:
        """Check ``options`` against the schema and construct: positional arguments are ``fixed``.

        Raises:
            ValueError: an unknown name or option, or a value out of range: what was given, what is
                allowed, and the nearest match.
        """
        cls, chosen = self.find(word), self.checked(word, options or {})
        try:
            inspect.signature(cls).bind(*fixed, **chosen)
        except TypeError as error:
            raise ValueError(
                f"{self.kind} {word!r} cannot be built: {error}; options are keyword-only arguments"
            ) from None
        return cls(*fixed, **chosen)

    def checked(self, word: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """All options of a class: those that are given, and the defaults of the others.

        Raises:
            ValueError: as ``build``, for the options alone.
        """
        return check_options(f"{self.kind} {word!r}", self.schema(word), options)

    def offers(self, word: str) -> list[EntryPoint]:
        """Entry points of installed packages that a word means, by name or by value.

        Raises:
            ValueError: two packages offer different classes under that name.
        """
        entries = [entry for entry in offered(self.group) if word in (entry.name, entry.value)]
        values = {entry.value for entry in entries}
        if len(values) > 1:
            two = " and ".join(f"{entry.value} of {package_of(entry)}" for entry in entries)
            ways = " or ".join(f"{self.key}={value}" for value in sorted(values))
            raise ValueError(f"two {self.plural} are called {word!r}: {two}; write {ways}")
        return entries

    def _refuse_another(self, name: str) -> None:
        """A class of one's own may have been registered by a name that a package uses too."""
        cls = self._classes[name]
        if is_built_in(cls):
            return
        for entry in self.offers(name):
            if load_offered(entry) is not cls:
                raise ValueError(
                    f"two {self.plural} are called {name!r}: {_path(cls)} and {entry.value} of "
                    f"{package_of(entry)}; write {self.key}={_path(cls)} or "
                    f"{self.key}={entry.value}"
                )

    def _member(self, module: str, name: str) -> type[T]:
        """A class of an imported module."""
        there = sys.modules[module]
        if not hasattr(there, name):
            known = list(self._classes_in(module))
            script = "; a class of a script is found in that script only" * (module == "__main__")
            raise ValueError(
                f"{module} has no {self.kind} {name!r}{nearest(name, known)} "
                f"(it has: {', '.join(known) or 'none'}){script}"
            )
        return self._checked(getattr(there, name), f"{module}:{name}")

    def _classes_in(self, module: str) -> Iterator[str]:
        for name, value in vars(sys.modules[module]).items():
            if inspect.isclass(value) and issubclass(value, self.base) and value is not self.base:
                yield name

    def _checked(self, value: Any, word: str) -> type[T]:
        """What a word stands for, if it is a class of this menu that can be built."""
        if not (inspect.isclass(value) and issubclass(value, self.base)):
            article = "an" if self.kind[0] in "aeiou" else "a"
            what = "a class" if inspect.isclass(value) else f"a {type(value).__name__}"
            raise ValueError(
                f"{word} is {what} and no {self.kind}: {article} {self.kind} is a class that "
                f"derives from {self.base.__name__}"
            )
        if lacks := sorted(getattr(value, "__abstractmethods__", ())):
            raise ValueError(f"{word} is no {self.kind} yet: it does not define {', '.join(lacks)}")
        return cast("type[T]", value)


def is_built_in(cls: type[Any]) -> bool:
    """Whether a class is memrl's own."""
    return cls.__module__.partition(".")[0] == "memrl"


def _path(cls: type[Any]) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _is_reloaded(known: type[Any], cls: type[Any]) -> bool:
    """Whether a class is one that was registered before: a module reloaded, or run as a script."""
    modules = {known.__module__, cls.__module__}
    same = len(modules) == 1 or "__main__" in modules
    return known.__qualname__ == cls.__qualname__ and same
