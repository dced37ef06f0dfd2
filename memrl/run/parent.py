"""A process notices that the one that started it is gone, however that ended."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Final

_PAUSE: Final = 0.5  # seconds between two looks


def watch_parent(parent: int, then: Callable[[], None]) -> None:
    """Call ``then``, in a thread, once the process ``parent`` that started this one has ended.

    On Windows, where an orphan keeps the number of its parent, it is never called.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PAUSE)
        then()

    threading.Thread(target=watch, daemon=True).start()
