"""Lists of tasks as people write them: ``[ID,ID env.delay=3]``."""

from __future__ import annotations

import re
from typing import Final

_LIST: Final = re.compile(r"\[([^\[\]]*)\]", re.DOTALL)


def is_list(text: str) -> bool:
    """Whether a text is a list in brackets, and not several of them."""
    return _LIST.fullmatch(text.strip()) is not None


def listed_tasks(key: str, text: str) -> list[list[str]]:
    """The words of each task: its id, then its options.

    Args:
        key: that has the value ``text``, for the message.
        text: ``[ID,ID OPTION=VALUE]``.

    Raises:
        ValueError: it is no list, or one of fewer than two tasks.
    """
    inside = _LIST.fullmatch(text.strip())
    tasks = [part.split() for part in (inside[1] if inside else "").split(",")]
    if len(tasks) < 2 or not all(tasks):
        raise ValueError(
            f"{key}={text}: a list of two tasks or more is wanted, as in {key}=[ID,ID], each with "
            "its options after blanks"
        )
    return tasks
