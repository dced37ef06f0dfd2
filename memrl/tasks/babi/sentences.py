"""Sentences as features: the modules that turn a step's words into a memory's input."""

from __future__ import annotations

from typing import Literal, TypeAlias, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

Reading: TypeAlias = Literal["bag", "position", "mask"]
STD = 0.1  # initial standard deviation of embeddings (MemN2N and EntNet)


def sentence_reader(reading: Reading, num_words: int, sentence_len: int, dim: int) -> nn.Module:
    """A module for inputs [*N, J + 1]: J word indices, then 1 for a question or 0."""
    if reading == "bag":
        return Bag(num_words, sentence_len)
    return Embedded(num_words, sentence_len, dim, masked=reading == "mask")


@final
class Bag(nn.Module):
    """Word counts, and word counts weighted by position: [Σ_j x_j, Σ_j b_j x_j].

    b_j = (j − (J+1)/2) / J. For memories with their own embedding: any position encoding that is
    linear in j is linear in these two halves. Nothing here is learned.

    Args:
        num_words: V, without the padding index 0.
        sentence_len: J, words of the longest sentence.
    """

    positions: Tensor  # [J]

    def __init__(self, num_words: int, sentence_len: int) -> None:
        super().__init__()
        self.num_words = num_words
        self.register_buffer("positions", positions(sentence_len), persistent=False)

    def forward(self, sentence: Int[Tensor, "*N K"]) -> Float[Tensor, "*N I"]:
        words = sentence[..., :-1]
        counts = self.positions.new_zeros(*words.shape[:-1], self.num_words + 1)
        ones = torch.ones_like(words, dtype=counts.dtype)
        weighted = counts.scatter_add(-1, words, ones * self.positions)
        counts = counts.scatter_add(-1, words, ones)
        return torch.cat([counts[..., 1:], weighted[..., 1:]], dim=-1)


@final
class Embedded(nn.Module):
    """Σ_j l_j ∘ e(x_j): embedded words, weighted by their position in the sentence.

    Fixed weights l_kj = 1 + 4 (k − (d+1)/2) b_j / d are MemN2N's and DMN+'s position encoding.
    Learned weights are EntNet's input mask: initially 1, and separate for questions and statements.

    Args:
        num_words: V, without the padding index 0.
        sentence_len: J, words of the longest sentence.
        dim: d, width of an embedding.
        masked: True: the weights are learned.
    """

    weights: Tensor  # [J, d]

    def __init__(self, num_words: int, sentence_len: int, dim: int, *, masked: bool) -> None:
        super().__init__()
        self.words = nn.Parameter(STD * torch.randn(num_words, dim))
        self.mask = nn.Parameter(torch.ones(2, sentence_len, dim)) if masked else None
        k = torch.arange(1, dim + 1)
        slant = 4 * (k - (dim + 1) / 2) / dim  # [d]
        weights = 1 + slant * positions(sentence_len).unsqueeze(1)
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, sentence: Int[Tensor, "*N K"]) -> Float[Tensor, "*N I"]:
        words, is_question = sentence[..., :-1], sentence[..., -1]
        embedded = F.embedding(words, F.pad(self.words, (0, 0, 1, 0)))  # [*N, J, d]
        weights = self.weights if self.mask is None else self.mask[is_question]
        return (embedded * weights).sum(dim=-2)


def positions(sentence_len: int) -> Float[Tensor, " J"]:
    """b_j = (j − (J+1)/2) / J for the words j = 1 … J of a sentence."""
    j = torch.arange(1, sentence_len + 1)
    return (j - (sentence_len + 1) / 2) / sentence_len
