"""The sentence with which a rank ends, for the process that started it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

SENTENCE: Final = "MEMRL_SENTENCE"  # the environment variable that names the file of a rank


def write_sentence(sentence: str, code: int, *, lost: bool) -> bool:
    """Hand the sentence of this process, with its exit code, to the one that started it.

    ``lost``: it only says that another rank ended. False: nobody takes it, so it is to be printed.
    """
    place = os.environ.get(SENTENCE)
    if place is None:
        return False
    Path(place).write_text(json.dumps({"sentence": sentence, "code": code, "lost": lost}))
    return True
