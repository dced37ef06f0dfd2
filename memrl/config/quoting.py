"""Overrides as people write them, quoted where Hydra's grammar asks for quotes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

_PATHS: Final = frozenset({"run.dir", "run.root", "init", "task.folder", "agent.replay.folder"})


def with_quotes(words: Iterable[str]) -> list[str]:
    """Words whose values Hydra cannot parse, or would parse as no text, with quotes around them.

    ``run.dir=s/a(1)`` is a directory called so, and ``run.dir=7`` one called 7. Flags, values that
    are quoted already, sweeps and interpolations stay as they are.
    """
    parser = OverridesParser.create()
    return [_quoted(word, parser) for word in words]


def text_word(key: str, text: str) -> str:
    """The word that sets a key to a text, whatever characters it holds."""
    return f"{key}={_in_quotes(text)}"


def list_of_texts(key: str, texts: Iterable[str]) -> str:
    """The word that sets a key to a list of texts, whatever characters these hold."""
    return f"{key}=[{','.join(map(_in_quotes, texts))}]"


def _quoted(word: str, parser: OverridesParser) -> str:
    key, equals, value = word.partition("=")
    if not equals or word.startswith(("-", "~")) or value[:1] in ("'", '"') or "${" in value:
        return word
    quoted = text_word(key, value)
    if not _parses(quoted, parser):
        return word  # it is the key that Hydra does not understand, and says so
    is_path = key.lstrip("+") in _PATHS
    return quoted if not _parses(word, parser, as_path=is_path) else word


def _parses(word: str, parser: OverridesParser, *, as_path: bool = False) -> bool:
    try:
        override = parser.parse_override(word)
    except HydraException:
        return False
    if not as_path or override.is_sweep_override():
        return True
    return isinstance(override.value(), str | None)


def _in_quotes(value: str) -> str:
    """A text in Hydra's quotes, in which a backslash before a quote stands for the quote."""
    body = re.sub(r"(\\*)'", r"\1\1\'", value)
    ending = len(body) - len(body.rstrip("\\"))
    return f"'{body}{chr(92) * ending}'"
