"""What a search varies: words of Hydra's sweeps become intervals and choices."""

from __future__ import annotations

import pytest

from memrl.config.composition import compose
from memrl.config.search_space import Choice, Interval, split_space


@pytest.mark.parametrize(
    ("value", "axis"),
    [
        ("7,11", Choice(("7", "11"))),
        ("choice(7,11,7)", Choice(("7", "11"))),
        ("range(2,9,3)", Choice(("2", "5", "8"))),
        ("interval(0,0.1)", Interval(0.0, 0.1, False, False)),
        ("tag(log, interval(1e-4,1e-2))", Interval(1e-4, 1e-2, True, False)),
        ("int(interval(16,256))", Interval(16, 256, False, True)),
        ("int(tag(log,interval(16,256)))", Interval(16, 256, True, True)),
    ],
)
def test_a_word_of_a_sweep_is_an_axis(value, axis):
    assert split_space(["seed=3", f"agent.lr={value}"]) == (["seed=3"], {"agent.lr": axis})


def test_words_that_are_no_sweep_stay_as_they_are():
    words = ["env=MiniGrid-MemoryS7-v0", "run.root=a b(1)", "agent.lr=1e-3", "--config-dir", "x"]
    assert split_space([*words, "memory=gru,lstm"]).fixed == words


def test_a_drawn_number_has_six_digits_and_is_a_word():
    space = split_space(["agent.lr=interval(0,1)", "env.num=int(interval(1,9))", "memory=gru,lstm"])
    drawn = {"agent.lr": 0.00012345678, "env.num": 7, "memory": "lstm"}
    assert space.words(drawn) == ["agent.lr=0.000123457", "env.num=7", "memory=lstm"]
    assert compose(space.words(drawn)).agent.lr == 0.000123457


def test_every_end_and_choice_is_in_a_corner():
    space = split_space(["seed=3", "a=1,2,3", "b=interval(0,1)"])
    assert [*space.corners()] == [
        ["seed=3", f"a={a}", f"b={b}"] for a, b in ((1, 0), (2, 0), (3, 0), (1, 0), (1, 1))
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed=3"], "a search varies nothing yet: write memory.hidden_dim=64,128, or "),
        (["a=loguniform(1,2)"], r"no loguniform\(…\), allowed: choice, interval, range, tag"),
        (["a=intreval(1,2)"], r"did you mean interval\?"),
        (["a=interval(2,1)"], "an interval wants low < high"),
        (["a=tag(log,interval(0,1))"], "an interval wants 0 < low < high"),
        (["a=tag(lgo,interval(0,1))"], "tag 'lgo', allowed: log"),
        (["memory=glob(l*)"], r"write what is drawn from, as in memory=lstm,gru"),
        (["a=1,2", "a=interval(0,1)"], "a is drawn from another word already"),
        (["a=1,2", "a=3"], "a=3: another word draws a"),
        (["env=A-v0,B-v0"], "all trials of a search have the same env"),
        (["total_steps=interval(1,9)"], "all trials of a search have the same total_steps"),
    ],
)
def test_what_cannot_be_drawn_from_is_refused(words, said):
    with pytest.raises(ValueError, match=said):
        split_space(words)
