"""What a memory reads of a sentence is what the papers weigh together."""

from __future__ import annotations

import pytest
import torch

from memrl.memory import MemN2N
from memrl.tasks.babi.sentences import sentence_reader

WORDS, LONGEST, DIM = 11, 5, 7  # V, J, d
SAID = torch.tensor([[3, 1, 3, 0, 0, 0], [2, 11, 5, 1, 7, 1], [0, 0, 0, 0, 0, 0]])  # asks: the last


def weight(k: int, j: int) -> float:
    """l_kj of MemN2N's code; k and j count from 1."""
    return 1 + 4 * (k - (DIM + 1) / 2) * (j - (LONGEST + 1) / 2) / (DIM * LONGEST)


def test_embedded_words_are_weighed_by_their_place():
    reader = sentence_reader("position", WORDS, LONGEST, DIM).double()
    got = reader(SAID)
    for row, said in enumerate(SAID[:, :-1].tolist()):
        for k in range(1, DIM + 1):
            want = sum(
                weight(k, j) * reader.words[word - 1, k - 1].item()
                for j, word in enumerate(said, start=1)
                if word
            )
            assert got[row, k - 1].item() == pytest.approx(want, abs=1e-6)


def test_a_learned_mask_is_one_at_first_and_another_for_questions():
    reader = sentence_reader("mask", WORDS, LONGEST, DIM).double()
    plain = torch.stack(
        [reader.words[[w - 1 for w in said if w]].sum(0) for said in SAID[:, :-1].tolist()]
    )
    torch.testing.assert_close(reader(SAID), plain)
    with torch.no_grad():
        reader.mask[1] = 3.0  # of questions
    torch.testing.assert_close(reader(SAID)[0], plain[0])
    torch.testing.assert_close(reader(SAID)[1], 3 * plain[1])


def test_a_bag_counts_words_and_weighs_them_by_place():
    bag = sentence_reader("bag", WORDS, LONGEST, DIM).double()(SAID)
    assert bag.shape == (3, 2 * WORDS)
    assert bag[0].nonzero().flatten().tolist() == [0, 2, WORDS, WORDS + 2]
    b = [(j - 3) / 5 for j in (1, 2, 3, 4, 5)]
    torch.testing.assert_close(bag[0, [0, 2]], torch.tensor([1.0, 2.0], dtype=torch.float64))
    want = torch.tensor([b[1], b[0] + b[2]])
    torch.testing.assert_close(bag[0, [WORDS, WORDS + 2]].float(), want)
    assert not bag[2].any()


def test_a_memory_that_embeds_bags_weighs_words_as_embeddings_are_weighed():
    position = sentence_reader("position", WORDS, LONGEST, DIM).double()
    bag = sentence_reader("bag", WORDS, LONGEST, DIM).double()(SAID)
    core = MemN2N(2 * WORDS, hidden_dim=DIM, position=True).double()
    with torch.no_grad():
        core.embeddings[0] = position.words.T
    nothing = torch.zeros(1, 3, dtype=torch.bool)
    first = core(bag.unsqueeze(0), core.initial_state(3), ~nothing).y[0]  # u: nothing to look at
    torch.testing.assert_close(first, position(SAID), rtol=0, atol=1e-6)
