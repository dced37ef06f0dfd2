"""A sentence before numba compiles the kernels of a memory, because that takes seconds."""

from __future__ import annotations

import logging
from typing import final

from numba.core import event

_ROOM = f"{__package__}."
_LOG = logging.getLogger(_ROOM.rstrip("."))


@final
class Notice(event.Listener):
    """Says once for each memory that its kernels are being compiled.

    The sentence goes to the logger ``memrl.memory.kernels``; without a handler Python prints it to
    stderr. Kernels that come from the cache are not compiled, and nothing is said.
    """

    def __init__(self) -> None:
        self._depth = 0  # a kernel compiles what it calls
        self._said: set[str] = set()

    def on_start(self, event: event.Event) -> None:
        module = _module(event)
        memory = module.removeprefix(_ROOM)
        if module.startswith(_ROOM) and not self._depth and memory not in self._said:
            self._said.add(memory)
            _LOG.warning(
                "the kernels of %s are being compiled for this machine, once: 3 to 30 s", memory
            )
        self._depth += 1

    def on_end(self, event: event.Event) -> None:
        self._depth -= 1


def _module(event: event.Event) -> str:
    """The module of the memory: that of a kernel, or of the sizes that a loop is given."""
    classes = (getattr(type, "instance_class", None) for type in event.data["args"])
    named = next(filter(None, classes), event.data["dispatcher"].py_func)
    return named.__module__ or ""
