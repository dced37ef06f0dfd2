"""Single keys of a terminal, as they are pressed and without an echo."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ReadKeys = Callable[[], str]  # waits for a key, and returns all that the terminal hands over

if sys.platform == "win32":
    import msvcrt

    @contextmanager
    def single_keys() -> Iterator[ReadKeys]:
        """Keys from the console, one at a time; an arrow arrives as two characters."""

        def read() -> str:
            key = msvcrt.getwch()
            return key + msvcrt.getwch() if key in "\x00\xe0" else key

        yield read

else:
    import termios
    import tty

    @contextmanager
    def single_keys() -> Iterator[ReadKeys]:
        """Keys from stdin, which is a terminal; as it was again afterwards.

        The terminal stays in this mode between two keys: what is typed meanwhile waits, unseen.
        """
        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)

        def read() -> str:
            typed = os.read(terminal, 256)
            if not typed:
                raise EOFError("the terminal is gone")
            return typed.decode(errors="ignore")

        try:
            tty.setcbreak(terminal, termios.TCSADRAIN)
            yield read
        finally:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
