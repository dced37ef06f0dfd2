"""Translations against a second translator, which parses the sentence that was heard."""

from __future__ import annotations

import pytest
import torch

from memrl.tasks import Translate
from memrl.tasks.translate import source_order, target_order


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def translated(sentence: list[str]) -> list[str]:
    """What a sentence of words such as a3, n0, v1 means in the other language."""
    (verb,) = (word for word in sentence if word.startswith("v"))
    at = sentence.index(verb)
    said = []
    for phrase, particle in ((sentence[:at], "SUBJECT"), (sentence[at + 1 :], "OBJECT")):
        *adjectives, noun = phrase
        assert noun.startswith("n")
        assert all(word.startswith("a") for word in adjectives)
        said += [noun, *reversed(adjectives), particle]
    return [word if word.isupper() else word.upper() for word in (*said, verb, "END")]


@pytest.mark.parametrize("length", [3, 4, 11])
def test_the_target_is_the_sentence_in_the_other_language(length):
    task = Translate(adjectives=11, nouns=3, verbs=2)
    batch = task.sample(101, length, drawn())
    assert len(batch.x) == 2 * length + 3
    places = set()
    for row in range(101):
        one = type(batch)(*(part[:, row : row + 1] for part in batch))
        assert one.x.sum() == len(one.x)
        heard, said = task.texts(one)
        source, want = heard[:length], translated(heard[:length])
        assert len({*source}) == length  # no word twice
        assert heard[length] == "→"
        assert batch.mask[:, row].tolist() == [t >= length for t in range(2 * length + 3)]
        assert said == [""] * length + want
        assert heard[length + 1 :] == want[:-1]  # the word before the one to say
        places.add(next(at for at, word in enumerate(source) if word.startswith("v")))
    assert places == set(range(1, length - 1))  # adjectives belong to either noun


def test_an_example_in_words():
    words = "a0 a1 n0 v0 a2 n1".split()
    parts = ["a0", "a1", "a2", "n0", "n1", "v0"]
    assert [parts[i] for i in source_order(6, 2)] == words
    extended = [*(word.upper() for word in words), "SUBJECT", "OBJECT", "END"]
    said = [extended[i] for i in target_order(6, 2)]
    assert said == "N0 A1 A0 SUBJECT N1 A2 OBJECT V0 END".split()
    assert said == translated(words)


def test_a_sentence_has_no_more_adjectives_than_the_language():
    assert Translate(adjectives=7).sample(2, 10, drawn()).x.shape[0] == 23
    with pytest.raises(ValueError, match=r"length=11, .*at least 3 and at most 10"):
        Translate(adjectives=7).check_length(11)


def test_every_class_is_said():
    task = Translate(adjectives=5, nouns=3, verbs=2, max_length=8)
    batch = task.sample(101, 8, drawn())
    assert batch.target[batch.mask].unique().tolist() == [*range(task.out_dim)]
    assert torch.equal(batch.x.argmax(-1).unique(), torch.arange(task.in_dim))
