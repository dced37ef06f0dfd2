"""Sentences as features: what a memory reads of the words that are said at a step."""

from __future__ import annotations

from typing import Literal, TypeAlias, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

Reading: TypeAlias = Literal["bag", "position", "mask"]
STD = 0.1  # of embeddings at first (MemN2N and EntNet alike)


def sentence_reader(reading: Reading, num_words: int, sentence_len: int, dim: int) -> nn.Module:
    """A module from words and a last column that is 1 where a question is asked, [*N, J + 1]."""
    if reading == "bag":
        return Bag(num_words, sentence_len)
    return Embedded(num_words, sentence_len, dim, masked=reading == "mask")


@final
class Bag(nn.Module):
    """How often each word occurs, and the same weighed by place: [Σ_j x_j, Σ_j b_j x_j].

    b_j = (j − (J+1)/2) / J. For memories that embed by themselves: any position encoding that is
    linear in j is linear in these two halves. Nothing here is learned.

    Args:
        num_words: V, the index 0 of no word not counted.
        sentence_len: J, words of the longest sentence.
    """

    places: Tensor  # [J]

    def __init__(self, num_words: int, sentence_len: int) -> None:
        super().__init__()
        self.num_words = num_words
        self.register_buffer("places", places(sentence_len), persistent=False)

    def forward(self, said: Int[Tensor, "*N K"]) -> Float[Tensor, "*N I"]:
        words = said[..., :-1]
        counted = self.places.new_zeros(*words.shape[:-1], self.num_words + 1)
        ones = torch.ones_like(words, dtype=counted.dtype)
        weighed = counted.scatter_add(-1, words, ones * self.places)
        counted = counted.scatter_add(-1, words, ones)
        return torch.cat([counted[..., 1:], weighed[..., 1:]], dim=-1)


@final
class Embedded(nn.Module):
    """Σ_j l_j ∘ e(x_j): embedded words, weighed by their place in the sentence.

    Fixed weights l_kj = 1 + 4 (k − (d+1)/2) b_j / d are MemN2N's and DMN+'s position encoding;
    learned ones, 1 at first and others for a question than for a statement, EntNet's input mask.

    Args:
        num_words: V, the index 0 of no word not counted.
        sentence_len: J, words of the longest sentence.
        dim: d, width of an embedding.
        masked: weights are learned.
    """

    weights: Tensor  # [J, d]

    def __init__(self, num_words: int, sentence_len: int, dim: int, *, masked: bool) -> None:
        super().__init__()
        self.words = nn.Parameter(STD * torch.randn(num_words, dim))
        self.mask = nn.Parameter(torch.ones(2, sentence_len, dim)) if masked else None
        k = torch.arange(1, dim + 1)
        slant = 4 * (k - (dim + 1) / 2) / dim  # [d]
        weights = 1 + slant * places(sentence_len).unsqueeze(1)
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, said: Int[Tensor, "*N K"]) -> Float[Tensor, "*N I"]:
        words, asks = said[..., :-1], said[..., -1]
        embedded = F.embedding(words, F.pad(self.words, (0, 0, 1, 0)))  # [*N, J, d]
        weights = self.weights if self.mask is None else self.mask[asks]
        return (embedded * weights).sum(dim=-2)


def places(sentence_len: int) -> Float[Tensor, " J"]:
    """b_j = (j − (J+1)/2) / J for the words j = 1 … J of a sentence."""
    j = torch.arange(1, sentence_len + 1)
    return (j - (sentence_len + 1) / 2) / sentence_len
