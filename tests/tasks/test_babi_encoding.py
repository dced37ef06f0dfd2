"""Stories become tensors and nothing is lost, moved or added but what was asked for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memrl.tasks.babi.encoding import NIL, Vocabulary, encode, last_step, with_nil_facts
from memrl.tasks.babi.reader import Question

WORDS = st.sampled_from(["mary", "went", "to", "the", "hall", "apple"])
SENTENCE = st.lists(WORDS, min_size=1, max_size=5).map(tuple)


@st.composite
def questions(draw):
    facts = draw(st.lists(SENTENCE, min_size=1, max_size=7).map(tuple))
    support = draw(st.sets(st.integers(0, len(facts) - 1)))
    answer = draw(st.sampled_from(["hall", "yes", "apple,milk"]))
    return Question(facts, draw(SENTENCE), answer, tuple(sorted(support)))


MANY = st.lists(questions(), min_size=1, max_size=5)


@given(MANY, st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_words_answers_and_support_come_back_from_the_tensors(asked, limit):
    vocabulary = Vocabulary(asked)
    stories = encode(asked, vocabulary, limit)
    for row, question in enumerate(asked):
        facts = question.facts[-limit:]
        for t, sentence in enumerate((*facts, question.words)):
            said = [vocabulary.words[i - 1] for i in stories.words[t, row].tolist() if i != NIL]
            assert tuple(said) == sentence
        assert stories.length[row] == len(facts) + 1
        assert not stories.words[len(facts) + 1 :, row].any()
        assert vocabulary.answers[stories.answer[row]] == question.answer
        cut = len(question.facts) - len(facts)
        supports = {i - cut for i in question.support if i >= cut}
        assert {t for t in range(len(stories.support)) if stories.support[t, row]} == supports


@given(MANY, st.floats(0, 1), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_nil_facts_lie_between_the_others_and_the_question_stays_last(asked, share, seed):
    stories = encode(asked, Vocabulary(asked), 9)
    noise = torch.Generator().manual_seed(seed)
    longer = with_nil_facts(stories, share, noise)
    for row in range(len(asked)):
        length, grown = int(stories.length[row]), int(longer.length[row])
        said = longer.words[:grown, row]
        kept = said.any(dim=-1)
        assert torch.equal(said[kept], stories.words[:length, row])
        assert kept[-1]
        assert not longer.words[grown:, row].any()
        assert torch.equal(longer.support[:grown, row][kept], stories.support[:length, row])
        assert int(longer.support[:, row].sum()) == int(stories.support[:, row].sum())
    assert len(longer.words) == int(longer.length.max())


def test_nil_facts_follow_facts_as_often_as_asked():
    fact = ("mary", "went")
    asked = [Question((fact,) * 50, ("where",), "hall", ())] * 200
    stories = encode(asked, Vocabulary(asked), 50)
    longer = with_nil_facts(stories, 0.1, torch.Generator().manual_seed(0))
    assert int((longer.length - stories.length).sum()) / (50 * 200) == pytest.approx(0.1, abs=0.01)
    assert torch.equal(with_nil_facts(stories, 0.0, torch.Generator()).words, stories.words)


def test_a_nil_fact_comes_after_its_fact_and_none_after_the_question():
    asked = [Question((("mary",), ("john",)), ("where",), "hall", ())]
    stories = encode(asked, Vocabulary(asked), 9)
    longer = with_nil_facts(stories, 1.0, torch.Generator())
    mary, john, where = stories.words[:, 0, 0].tolist()
    assert longer.words[:, 0, 0].tolist() == [mary, NIL, john, NIL, where]


def test_a_row_asks_at_its_last_step():
    asks = last_step(torch.tensor([1, 3, 2]), 4)
    assert asks.nonzero().tolist() == [[0, 0], [1, 2], [2, 1]]


def test_an_unknown_word_is_named():
    vocabulary = Vocabulary([Question((("mary", "went"),), ("where",), "hall", ())])
    with pytest.raises(ValueError, match=r"'john' is not in the vocabulary \(3 words, at most 2"):
        vocabulary.encode(("john",))
    with pytest.raises(ValueError, match="a sentence of 3 words is not in the vocabulary"):
        vocabulary.encode(("mary", "went", "where"))
