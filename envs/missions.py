"""Missions as tokens: the vocabulary of MiniGrid's and BabyAI's sentences.

A mission becomes the indices of its words in `VOCABULARY`, padded with zeros. New words are
appended and never inserted, so that an index means the same word to every saved policy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Final

import torch
from jaxtyping import Int64
from torch import Tensor

from memrl.errors import nearest

PADDING: Final = 0

VOCABULARY: Final[tuple[str, ...]] = (
    "",  # index 0: padding
    *", a after and at avoid ball behind blue box door end fetch find from front get go".split(),
    *"goal green grey hallway in key lava left matching maze must near next object of on".split(),
    *"open opening pick purple put reach red right room rooms square the then to traverse".split(),
    *"unlock up use yellow you your".split(),
)

# BabyAI's longest sentence: four times "put the red ball in front of you next to a blue key in
# front of you" (17 words), joined by "and" twice and by "after you" or ", then" once.
LONGEST_BABYAI: Final = 4 * 17 + 2 * 1 + 2


def split(sentence: str) -> list[str]:
    """The words of a sentence; a comma is a word."""
    return re.findall(r"[^\s,]+|,", sentence)


def encode(
    sentences: Sequence[str], length: int, vocabulary: tuple[str, ...] = VOCABULARY
) -> Int64[Tensor, "B L"]:
    """The indices of the words of every sentence, padded to ``length`` with zeros.

    Raises:
        ValueError: a word that is not in the vocabulary, or more words than ``length``.
    """
    return torch.tensor([encode_one(sentence, length, vocabulary) for sentence in sentences])


def encode_one(sentence: str, length: int, vocabulary: tuple[str, ...] = VOCABULARY) -> list[int]:
    """One sentence as in `encode`."""
    index, words = _index(vocabulary), split(sentence)
    if len(words) > length:
        raise ValueError(
            f"the mission {sentence!r} has {len(words)} words, allowed: at most {length}"
        )
    for word in words:
        if word not in index:
            raise ValueError(
                f"the mission {sentence!r} has the word {word!r}, allowed: the "
                f"{len(vocabulary) - 1} words of the vocabulary{nearest(word, vocabulary)}"
            )
    return [*(index[word] for word in words), *[PADDING] * (length - len(words))]


def decode(tokens: Int64[Tensor, "B L"], vocabulary: tuple[str, ...] = VOCABULARY) -> list[str]:
    """The sentences of tokens, the inverse of `encode`."""
    rows = ([vocabulary[number] for number in row if number != PADDING] for row in tokens.tolist())
    return [" ".join(words).replace(" ,", ",") for words in rows]


@cache
def _index(vocabulary: tuple[str, ...]) -> dict[str, int]:
    return {word: number for number, word in enumerate(vocabulary) if word}
