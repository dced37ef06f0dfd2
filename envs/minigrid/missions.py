"""Missions as numbers: the words of MiniGrid's and BabyAI's sentences, one number a word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Final

PAD: Final = 0  # after the end of a sentence

WORDS: Final = (
    "",  # PAD
    *(",", "a", "after", "and", "at", "avoid", "ball", "behind", "blue", "box", "door", "end"),
    *("fetch", "find", "from", "front", "get", "go", "goal", "green", "grey", "hallway", "in"),
    *("key", "lava", "left", "matching", "maze", "must", "near", "next", "object", "of", "on"),
    *("open", "opening", "pick", "purple", "put", "reach", "red", "right", "room", "rooms"),
    *("square", "the", "then", "to", "traverse", "unlock", "up", "use", "yellow", "you", "your"),
)
_NUMBERS: Final = {word: number for number, word in enumerate(WORDS)}


def encode_mission(sentence: str, length: int | None = None) -> list[int]:
    """The numbers of a sentence's words and commas, padded to ``length`` where one is given.

    Raises:
        ValueError: a word that no mission uses, or more words than ``length``.
    """
    words = sentence.replace(",", " ,").split()
    for word in words:
        if word not in _NUMBERS:
            near = difflib.get_close_matches(word, WORDS[1:], n=1, cutoff=0)[0]
            raise ValueError(f"{word!r} is in no mission of MiniGrid or BabyAI; nearest: {near!r}")
    length = len(words) if length is None else length
    if len(words) > length:
        raise ValueError(f"the mission {sentence!r} has {len(words)} words, allowed: {length}")
    return [_NUMBERS[word] for word in words] + [PAD] * (length - len(words))


def decode_mission(numbers: Iterable[Any]) -> str:
    """The sentence that the numbers stand for; an array or a tensor [L] will do."""
    words = (WORDS[int(number)] for number in numbers if int(number) != PAD)
    return " ".join(words).replace(" ,", ",")
