"""Code from outside: modules that a person named are imported, and no others.

A module is named on the command line, in a config of one's own, or in an argument of a function. A
run or a model that is loaded names nothing: what it was made of is data until a person says so.
"""

from __future__ import annotations

import importlib
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from memrl.errors import nearest

_OWN: Final = Path(__file__).resolve().parent
_PYTHON: Final = tuple(sysconfig.get_paths()[key] for key in ("stdlib", "purelib", "platlib"))
_LONGEST: Final = 200  # characters of somebody else's message

NAMED: Final[list[str]] = []  # the modules that --plugin named on this command line


def plugin_words() -> list[str]:
    """``--plugin MODULE`` for each module that was named, for commands that are printed."""
    return [word for module in NAMED for word in ("--plugin", module)]


def import_plugin(name: str, folders: Iterable[str | Path] = ()) -> ModuleType:
    """Import a module that a person named.

    Args:
        name: of the module, with dots where it lies in a package.
        folders: where it may lie, if neither the current folder nor Python's path holds it.

    The folder in which it is found stays at the end of ``sys.path``, since what it imports later,
    and what its worker processes import, may lie there too.

    Raises:
        ValueError: there is no such module, or it does not import; its own error is quoted.
    """
    if name in sys.modules:
        return sys.modules[name]
    here, others = str(Path.cwd()), [str(folder) for folder in folders]
    importlib.invalidate_caches()  # the file may be new
    try:
        with _searched(here, others):
            module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        absent = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
        if absent is None or not f"{name}.".startswith(f"{absent}."):
            raise ValueError(f"{name} does not import: {own_error(error)}") from error
        places = ", ".join(dict.fromkeys([here, *others]))
        hint = nearest(name, _importable(Path(here)))
        raise ValueError(
            f"there is no module {name!r}{hint} (searched: {places} and Python's path)"
        ) from None
    folder = str(folder_of(name))
    if folder in (here, *others) and folder not in sys.path:
        sys.path.append(folder)
    return module


def hint_for(key: str, word: str, known: Iterable[str]) -> str:
    """What to write in place of an unknown word: a class of a file that lies here, or the nearest.

    ``; write memory=leaky:NAME for a class of leaky``, ``; did you mean …?``, or nothing.
    """
    if word in _importable(Path.cwd()):
        return f"; write {key}={word}:NAME for a class of {word}"
    return nearest(word, known)


def folder_of(module: str) -> Path | None:
    """The folder that must be searched to import a module that is imported now; None if unknown."""
    top = sys.modules.get(module.partition(".")[0])
    inside = list(getattr(top, "__path__", ()))
    place = inside[0] if inside else getattr(top, "__file__", None)
    return None if place is None else Path(place).resolve().parent


def is_own(module: str) -> bool:
    """Whether a module that is imported now is a person's own, and of no installed package."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is not None and _is_own(file)


def places_of(modules: Iterable[str]) -> dict[str, str]:
    """The folders of imported modules, as a run or a model keeps them; scripts have none."""
    found = {name: folder_of(name) for name in modules if name != "__main__"}
    return {name: str(folder) for name, folder in found.items() if folder is not None}


def how_to_name(modules: Iterable[str], places: Mapping[str, str] | None = None) -> str:
    """What a person does to name modules: ``add --plugin leaky, or import leaky first``.

    Args:
        modules: their names.
        places: the folders in which they were, as far as they are known.
    """
    names = list(modules)
    where = dict.fromkeys(places[name] for name in names if places and name in places)
    told = f" (it was in {', '.join(where)})" if where else ""
    options = " ".join(f"--plugin {name}" for name in names)
    return f"add {options}, or import {', '.join(names)} first{told}"


def offered(group: str) -> list[EntryPoint]:
    """What installed packages announce under a group of entry points, each once, by name."""
    found = {(entry.name, entry.value): entry for entry in entry_points(group=group)}
    return [found[key] for key in sorted(found)]


def package_of(entry: EntryPoint) -> str:
    """The package that announces an entry point, with its version."""
    return "a package" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"


def load_offered(entry: EntryPoint) -> Any:
    """What an entry point stands for.

    Raises:
        ValueError: its module does not import, or holds no such name.
    """
    try:
        return entry.load()
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"{entry.name!r} of {package_of(entry)} ({entry.value}) does not import: "
            f"{own_error(error)}"
        ) from error


def own_error(error: BaseException) -> str:
    """An error of code from outside, short: its type and message, and the line it comes from."""
    text = " ".join(str(error).split())
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    line = own_line(error)
    return f"{type(error).__name__}: {text}" + (f" ({line})" if line else "")


def own_line(error: BaseException) -> str | None:
    """``leaky.py:12``, the innermost line of a person's own that an error passed; None if none."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename)}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_own(frame.filename)]
    return f"{_shown(own[-1].filename)}:{own[-1].lineno}" if own else None


def _is_own(filename: str) -> bool:
    path = Path(filename).resolve()
    memrls = any(path.is_relative_to(folder) for folder in _memrl_folders())
    return path.suffix == ".py" and not memrls and not str(path).startswith(_PYTHON)


def _memrl_folders() -> list[Path]:
    return [_OWN, *(_OWN.joinpath(name).resolve() for name in ("agents", "envs", "configs"))]


def _shown(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _importable(folder: Path) -> list[str]:
    """Modules and packages that lie in a folder."""
    modules = [path.stem for path in folder.glob("*.py")]
    return modules + [path.parent.name for path in folder.glob("*/__init__.py")]


@contextmanager
def _searched(first: str, last: list[str]) -> Iterator[None]:
    """Search one folder before Python's path, and others after it."""
    sys.path.insert(0, first)
    sys.path.extend(last)
    try:
        yield
    finally:
        sys.path.remove(first)  # the module may have changed the path as well
        for folder in last:
            sys.path.reverse()
            sys.path.remove(folder)
            sys.path.reverse()
