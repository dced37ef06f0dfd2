"""Encode a sentence: embed words with their neighbours, then pool them with their order."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.nn.fingerprint import per_distinct
from memrl.nn.init import linear

PADDING = 0


class SentenceEncoder(nn.Module):
    """Tokens [*N, L], padded with 0, to features [*N, encoder_dim].

    A layer mixes the embedding of every word with those of its neighbours (which binds "red" to
    "ball"). The mean of the mixed words y_1 … y_n, and Σ_j j/n y_j / n, which encodes their order
    (after the position encoding of Sukhbaatar et al. 2015), pass a hidden layer. A loop over words,
    as in a GRU, would cost more than the rest of a policy. Padding has no effect; on the CPU,
    columns that are padding in every sentence are skipped.
    """

    DEDUPLICATE_FROM = 64  # rows; a minibatch holds few distinct sentences

    def __init__(self, num_symbols: int, encoder_dim: int, word_dim: int) -> None:
        super().__init__()
        self.out_dim = encoder_dim
        self.words = nn.Embedding(num_symbols, word_dim)
        width = 4 * word_dim
        self.neighbours = linear(3 * word_dim, width)
        self.mix = linear(2 * width, encoder_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        flat = tokens.reshape(-1, tokens.shape[-1])
        if flat.device.type == "cpu" and not torch.compiler.is_exporting():
            place = torch.arange(1, flat.shape[1] + 1)
            flat = flat[:, : max(1, int(((flat != PADDING).any(0) * place).max()))]
        features = per_distinct(self._encode, flat, self.DEDUPLICATE_FROM)
        return features.view(*tokens.shape[:-1], self.out_dim)

    def _encode(self, tokens: Tensor) -> Tensor:
        is_word = (tokens != PADDING).unsqueeze(-1).to(self.mix.weight.dtype)  # [N, L, 1]
        x = F.pad(self.words(tokens.long()) * is_word, (0, 0, 1, 1))
        beside = torch.cat([x[:, :-2], x[:, 1:-1], x[:, 2:]], dim=-1)
        y = self.neighbours(beside).relu() * is_word  # [N, L, D]
        length = is_word.sum(1, keepdim=True).clamp(min=1)
        place = is_word.cumsum(1) / length  # j/n
        pooled = torch.cat([(y / length).sum(1), (y * place / length).sum(1)], dim=-1)
        return self.mix(pooled).relu()  # type: ignore[no-any-return]
