"""The sentence encoder: words with their neighbours, their mean and their order."""

from __future__ import annotations

import itertools

import pytest
import torch
from gymnasium import spaces

from memrl.envs.missions import LONGEST_BABYAI, VOCABULARY, encode
from memrl.nn.observation import ObsEncoder
from memrl.nn.sentence import SentenceEncoder
from memrl.rollout.tokens import Tokens


def encoder(num_symbols: int = 11, seed: int = 0) -> SentenceEncoder:
    torch.manual_seed(seed)
    return SentenceEncoder(num_symbols, encoder_dim=5, word_dim=3).double()


def sentences(rows: int, length: int = 7, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1, 11, (rows, length), generator=generator)
    words = torch.randint(1, length + 1, (rows, 1), generator=generator)
    return tokens * (torch.arange(length) < words)


def plainly(encoder: SentenceEncoder, words: list[int]) -> torch.Tensor:
    """The definition, word by word."""
    nothing = torch.zeros(3, dtype=torch.float64)
    x = [nothing, *(encoder.words.weight[word] for word in words), nothing]
    y = [
        encoder.neighbours(torch.cat([x[j - 1], x[j], x[j + 1]])).relu()
        for j in range(1, len(words) + 1)
    ]
    mean = sum(y) / len(y)
    order = sum((j + 1) / len(y) * y[j] for j in range(len(y))) / len(y)
    return encoder.mix(torch.cat([mean, order])).relu()


def test_features_are_those_of_the_definition():
    own, tokens = encoder(), sentences(13)
    for row, features in zip(tokens, own(tokens), strict=True):
        want = plainly(own, [word for word in row.tolist() if word])
        torch.testing.assert_close(features, want)


def test_room_behind_the_last_word_changes_nothing():
    own, tokens = encoder(), sentences(5)
    wider = torch.cat([tokens, torch.zeros(5, 4, dtype=torch.int64)], 1)
    torch.testing.assert_close(own(wider), own(tokens))
    whole = own._encode(wider)  # as an accelerator computes it: nothing is cut off
    torch.testing.assert_close(whole, own(tokens))


def test_a_sentence_without_words_has_finite_features():
    features = encoder()(torch.zeros(2, 7, dtype=torch.int64))
    assert features.isfinite().all()


def test_sentences_of_the_same_words_in_another_order_differ():
    own = encoder()
    a, b = torch.tensor([[1, 2, 3, 4, 5, 6], [4, 5, 6, 1, 2, 3]])
    assert (own(a) - own(b)).abs().max() > 1e-3


def test_a_large_batch_is_encoded_as_its_rows_are():
    own, tokens = encoder(), sentences(7).repeat(SentenceEncoder.DEDUPLICATE_FROM, 1)
    together = own(tokens.view(7, -1, 7))
    assert together.shape == (7, SentenceEncoder.DEDUPLICATE_FROM, 5)
    alone = torch.stack([own(row) for row in tokens[:7]])
    torch.testing.assert_close(together.view(-1, 5)[:7], alone)


def test_an_observation_of_tokens_is_read_as_a_sentence():
    space = spaces.Dict({"mission": Tokens(11, 7), "count": spaces.MultiDiscrete([11] * 7)})
    whole = ObsEncoder(space, encoder_dim=5, cell_dim=3, discrete_dim=7, normalise=False)
    assert whole.features_dim == 5 + 7
    tokens = sentences(3)
    features = whole({"mission": tokens, "count": tokens})
    torch.testing.assert_close(features[:, :5], whole.parts[1](tokens))
    assert isinstance(whole.parts[1], SentenceEncoder)


@pytest.mark.slow
def test_what_comes_first_is_learned_and_known_of_new_sentences():
    """ "A, then B" and "B after you A" ask for A first; no bag of words tells A from B."""
    colours = ("red", "green", "blue", "purple", "yellow", "grey")
    sentences, first = [], []
    for a, b in itertools.permutations(range(6), 2):
        for one, two in itertools.product(("door", "ball", "key"), repeat=2):
            go = f"go to the {colours[a]} {one}", f"go to the {colours[b]} {two}"
            sentences += [f"{go[0]}, then {go[1]}", f"{go[0]} after you {go[1]}"]
            first += [a, b]
    torch.manual_seed(0)
    tokens, answers = encode(sentences, LONGEST_BABYAI), torch.tensor(first)
    learned, new = torch.randperm(len(sentences)).split([400, 140])
    network = torch.nn.Sequential(SentenceEncoder(len(VOCABULARY), 128, 8), torch.nn.Linear(128, 6))
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(200):
        loss = torch.nn.functional.cross_entropy(network(tokens[learned]), answers[learned])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    right = network(tokens[new]).argmax(1) == answers[new]
    assert right.float().mean() > 0.95
