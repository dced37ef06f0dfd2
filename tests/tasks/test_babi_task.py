"""bAbI as a task: epochs, a test set, an answer at the question and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from suites import slow

from memrl.memory import build
from memrl.tasks import REGISTRY, Babi

SLICE = Path(__file__).parent / "babi"


def babi(**options) -> Babi:
    return REGISTRY.build("babi", options={"folder": str(SLICE), **options})


def test_what_is_scored_is_the_answer_to_the_question_that_ends_a_story():
    task = babi(nil=0.0)
    (test,) = task.held_out(100)
    assert test.mask.sum(0).eq(1).all()
    for row in range(test.x.shape[1]):
        at = int(test.mask[:, row].nonzero())
        story = [
            [task.vocabulary.words[i - 1] for i in x if i] for x in test.x[:, row, :-1].tolist()
        ]
        assert story[at][:2] == ["where", "is"]
        went = [sentence for sentence in story[:at] if sentence[0] == story[at][2]]
        assert task.vocabulary.answers[test.target[at, row]] == went[-1][-1]
        assert test.x[at, row, -1] == 1
        assert test.x[:, row, -1].sum() == 1
        assert not test.x[at + 1 :, row].any()


def test_an_epoch_shows_every_story_once_in_a_new_order():
    task, noise = babi(nil=0.0), torch.Generator().manual_seed(1)
    size = len(task.train.answer)
    orders = []
    for _ in range(2):
        shown = torch.cat([task.sample(1, 50, noise).target.max(0).values for _ in range(size)])
        assert shown.sort().values.equal(task.train.answer.sort().values)
        orders.append(shown)
    assert not orders[0].equal(orders[1])


def test_a_task_goes_on_in_the_middle_of_an_epoch():
    task, noise = babi(), torch.Generator().manual_seed(1)
    task.sample(7, 50, noise)
    other, again = babi(), torch.Generator()
    other.load_state_dict(task.state_dict())
    again.set_state(noise.get_state())
    for _ in range(5):
        for got, want in zip(other.sample(3, 50, again), task.sample(3, 50, noise), strict=True):
            assert got.equal(want)


def test_tied_answers_are_the_last_embedding_of_their_words():
    task = babi(reading="bag")
    core = build("memn2n", task.in_dim, {"position": True, "hidden_dim": 7})
    head, y = task.head(core), torch.randn(3, 7)
    assert not list(head.parameters())
    for index, answer in enumerate(task.vocabulary.answers):
        column = core.embeddings[-1][:, task.vocabulary.word_index[answer] - 1]
        torch.testing.assert_close(head(y)[:, index], y @ column)


def test_answers_of_several_words_or_of_another_memory_get_weights_of_their_own():
    lists = babi(reading="bag", number=8)
    assert any("," in answer for answer in lists.vocabulary.answers)
    core = build("memn2n", lists.in_dim, {"position": True})
    for head in (lists.head(core), babi().head(build("lstm", 20))):
        assert isinstance(head, torch.nn.Linear)


def test_features_that_are_no_words_tie_no_answers_even_where_they_are_as_many():
    task = babi(embed_dim=len(babi().vocabulary.words))
    assert isinstance(task.head(build("memn2n", task.in_dim)), torch.nn.Linear)


def test_a_linear_start_ends_after_its_epochs():
    task = babi(reading="bag", linear_start=3)
    core, size = build("memn2n", task.in_dim, {"position": True}), len(task.train.answer)
    for sequences, linear in ((0, True), (3 * size - 1, True), (3 * size, False)):
        task.prepare(core, sequences)
        assert core.linear is linear
    task.prepare(build("lstm", 5), 0)  # has no softmax to go without: nothing happens


def test_chance_is_the_commonest_answer():
    task = babi()
    commonest = max(set(a := task.train.answer.tolist()), key=lambda each: (a.count(each), -each))
    assert task.chance == pytest.approx(float((task.test.answer == commonest).float().mean()))


def test_chance_is_what_the_commonest_answer_of_the_training_part_gets(tmp_path):
    for part, answers in (("train", "hhg"), ("test", "hggg")):
        asked = "".join(f"1 Ann came.\n2 Where is Ann?\t{answer}\t1\n" for answer in answers)
        (tmp_path / f"qa1_some_{part}.txt").write_text(asked)
    assert babi(folder=str(tmp_path)).chance == 1 / 4


@pytest.mark.parametrize("memory", ["lstm", slow("memn2n"), slow("entnet")])
def test_a_memory_learns_the_slice_by_heart(memory):
    torch.manual_seed(0)
    reading = {"memn2n": "bag", "entnet": "mask"}.get(memory, "position")
    task = babi(reading=reading, nil=0.0, linear_start=0)
    core = build(memory, task.in_dim, {"position": True} if memory == "memn2n" else {})
    encoder, head = task.encoder(), task.head(core)
    weights = [p for part in (encoder, core, head) for p in part.parameters()]
    optimiser, noise = torch.optim.Adam(weights, lr=1e-2), torch.Generator().manual_seed(0)
    for _ in range(80):
        batch = task.sample(10, 50, noise)
        y = core(encoder(batch.x), core.initial_state(10), batch.start).y
        loss = torch.nn.functional.cross_entropy(head(y)[batch.mask], batch.target[batch.mask])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"number": 21}, "option number=21: input should be less than or equal to 20"),
        ({"number": 3}, "no train file of task 3"),
        ({"reading": "bags"}, "option reading='bags': input should be 'bag', 'position' or 'mask'"),
        ({"folder": "/nowhere"}, "there is no folder"),
    ],
)
def test_a_mistake_is_one_sentence(options, said):
    with pytest.raises(ValueError, match=r".") as caught:
        babi(**options)
    assert said in str(caught.value)
