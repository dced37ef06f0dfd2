"""Ctrl-C and SIGTERM: the first signal stops after the iteration, the second at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@final
class StopRequest:
    """The signal that asked for a stop, if any.

    Attributes:
        signum: the signal's number; None if none has arrived.
    """

    def __init__(self) -> None:
        self.signum: int | None = None


@contextmanager
def stop_on_signals(at_first: Callable[[int], None] | None = None) -> Iterator[StopRequest]:
    """Handle SIGINT and SIGTERM; the second signal restores the previous handlers.

    ``at_first`` is called with the number of the first one. Outside the main thread, where Python
    allows no handlers, signals are not handled.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before: dict[int, Any] = {signum: signal.getsignal(signum) for signum in SIGNALS}

    def restore() -> None:
        for signum, handler in before.items():
            signal.signal(signum, handler)

    def handle(signum: int, frame: FrameType | None) -> None:
        if request.signum is None:
            request.signum = signum
            if at_first is not None:
                at_first(signum)
        else:
            restore()
            signal.raise_signal(signum)

    for signum in SIGNALS:
        signal.signal(signum, handle)
    try:
        yield request
    finally:
        restore()
