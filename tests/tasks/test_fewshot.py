"""Few-shot episodes against plain loops, their control, and prototypes against the paper."""

from __future__ import annotations

import builtins
from collections import Counter

import pytest
import torch
from random_cores import draw as random
from small_fits import TINY

from memrl.memory.lstm import LSTM
from memrl.supervised.config import compose_fit
from memrl.supervised.evaluation import evaluate_lengths
from memrl.supervised.fitting import fit_task, group_table, make_learner, table
from memrl.supervised.model import ModelOutput
from memrl.tasks.fewshot import digits
from memrl.tasks.fewshot.digits import HELD_OUT, TRAINED, load
from memrl.tasks.fewshot.neighbour import nearest_neighbour
from memrl.tasks.fewshot.prototypes import Prototypes
from memrl.tasks.fewshot.task import FewShot
from memrl.testing.core_contract import CHECKS, a_long_run_stays_finite, fresh

PROTOTYPES = "memory=memrl.tasks.fewshot.prototypes:Prototypes"


@pytest.fixture(scope="module", autouse=True)
def _data():
    pytest.importorskip("sklearn", reason="pip install scikit-learn")


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def digit_of(image, known: tuple[int, ...]) -> int:
    """The digit of an image that is in the data set."""
    for digit, images in zip(known, load(known).images, strict=True):
        if (images == image).all(dim=1).any():
            return digit
    raise AssertionError("no such image")


@pytest.mark.parametrize("ways", [5, 3])
def test_an_episode_shows_each_class_as_often_and_then_one_more(ways):
    batch = FewShot(ways=ways).sample_test(7, 2, drawn())
    orders = set()
    for row in range(7):
        answers = batch.target[:, row].tolist()
        assert Counter(answers[:-1]) == dict.fromkeys(range(ways), 2)
        images = [tuple(image) for image in batch.x[:, row, :64].tolist()]
        assert len(set(images)) == len(images)
        seen = [digit_of(torch.tensor(image), HELD_OUT) for image in images]
        pairs = set(zip(answers, seen, strict=True))
        assert len(pairs) == ways  # a label for each digit
        orders.add(tuple(digit for _, digit in sorted(pairs)))
    assert len(orders) > 3


def test_a_label_comes_with_the_next_image():
    batch = FewShot().sample_test(3, 2, drawn())
    assert batch.mask.all()
    assert len(batch.x) == 11
    for row in range(3):
        assert batch.x[0, row, 64:].tolist() == [0.0] * 5
        for t in range(1, 11):
            assert int(batch.x[t, row, 64:].argmax()) == batch.target[t - 1, row]
            assert batch.x[t, row, 64:].sum() == 1


def test_or_it_comes_with_the_same_image_once_more():
    following, again = (
        FewShot(label=label).sample_test(3, 2, drawn()) for label in ("next", "again")
    )
    assert len(again.x) == 21
    for row in range(3):
        for t in range(21):
            shown, told = again.x[t, row, :64], again.x[t, row, 64:].tolist()
            assert shown.tolist() == following.x[t // 2, row, :64].tolist()
            answer = int(following.target[t // 2, row])
            assert told == [float(t % 2 == 1 and label == answer) for label in range(5)]
            assert bool(again.mask[t, row]) == (t % 2 == 0)
            assert int(again.target[t, row]) == answer


def test_training_shuffles_the_pixels_of_other_digits_alike_in_a_sequence():
    plain, shuffled = (FewShot(shuffled=on).sample(3, 1, drawn()) for on in (False, True))
    for row in range(3):
        assert {digit_of(image[:64], TRAINED) for image in plain.x[:, row]} == set(TRAINED)
        before, after = plain.x[:, row, :64].T.tolist(), shuffled.x[:, row, :64].T.tolist()
        assert before != after
        assert sorted(before) == sorted(after)  # each pixel keeps its values over the sequence


def test_groups_count_how_often_a_class_was_shown():
    for label in ("next", "again"):
        task = FewShot(label=label)
        batch = task.sample_test(3, 4, drawn())
        groups = task.groups(batch)
        for row in range(3):
            seen: Counter[int] = Counter()
            for t in range(len(batch.x)):
                if batch.mask[t, row]:
                    seen[int(batch.target[t, row])] += 1
                    assert int(groups[t, row]) == seen[int(batch.target[t, row])]


def test_the_nearest_neighbour_is_the_nearest_earlier_image():
    images, labels = random(7, 3, 2), torch.randint(0, 5, (7, 3), generator=drawn())
    logits = nearest_neighbour(images, labels, 5)
    for row in range(3):
        for t in range(7):
            earlier = [(float((images[s, row] - images[t, row]).norm()), s) for s in range(t)]
            want = int(labels[min(earlier)[1], row]) if earlier else 0
            assert int(logits[t, row].argmax()) == want


def test_the_control_is_scored_beside_the_model_in_every_group():
    task = FewShot(label="again")

    def knows(x, start):  # the digit of a label that was told before
        logits = torch.zeros(*x.shape[:2], 5)
        for row in range(x.shape[1]):
            label_of = {}
            for t in range(len(x)):
                digit = digit_of(x[t, row, :64], HELD_OUT)
                if x[t, row, 64:].any():
                    label_of[digit] = int(x[t, row, 64:].argmax())
                logits[t, row, label_of.get(digit, 0)] = 1.0
        return ModelOutput(logits, None)

    (score,) = evaluate_lengths(task, knows, [3], 71, seed=3, device=torch.device("cpu"))
    assert score.groups is not None
    assert [*score.groups] == ["memory", "nearest neighbour in pixels"]
    assert score.groups["memory"][1:] == [1.0, 1.0, 1.0]
    assert score.groups["memory"][0] < 0.4
    assert all(0.5 < share < 1 for share in score.groups["nearest neighbour in pixels"][1:])
    lines = table([score])
    assert lines[3] == "length 3, accuracy by presentation of a class"
    assert lines[5].split()[2:] == ["100.0%"] * 3


def test_a_table_of_groups_is_aligned():
    assert group_table({"memory": [0.5, 1.0], "control": [0.25, 0.125]}, "by age") == [
        "by age",
        "              1       2",
        "memory    50.0%  100.0%",
        "control   25.0%   12.5%",
    ]


# Prototypes


def test_prototypes_are_class_means_and_answers_their_distances():
    core = Prototypes(5, classes=2, word_dim=3, hidden_dim=7).double()
    x = random(9, 2, 5)
    x[..., 3:] = torch.nn.functional.one_hot(torch.arange(18).view(9, 2) % 3, 3)[..., :2]
    start = torch.zeros(9, 2, dtype=torch.bool)
    y = core(x, core.initial_state(2), start).y
    for row in range(2):
        members: dict[int, list[torch.Tensor]] = {0: [], 1: []}
        for t in range(9):
            e = core.outer(core.inner(x[t, row, :3]).relu())
            for k in (0, 1):
                want = core.distance_of_new
                if members[k]:
                    want = (e - sum(members[k]) / len(members[k])).square().sum()
                torch.testing.assert_close(y[t, row, k], -want)
                if x[t, row, 3 + k] == 1:
                    members[k].append(e)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_prototypes_keep_the_contract(check):
    core = fresh(lambda in_dim: Prototypes(in_dim, classes=2, word_dim=3, hidden_dim=7))
    check(core, 150) if check is a_long_run_stays_finite else check(core)


def test_a_fit_of_prototypes_draws_its_groups(tmp_path):
    config = compose_fit(["task=fewshot", PROTOTYPES, "task.label=again", *TINY, "sequences=6"])
    run = fit_task(config, tmp_path / "run", style="quiet", say=lambda _: None)
    for name in ("curve.png", "lengths.png", "groups.png", "memory.png"):
        assert (run.path / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_prototypes_learn(tmp_path):
    words = ["task=fewshot", PROTOTYPES, "task.label=again", "threads=1", "track=off"]
    small = ["learner.batches=10", "sequences=640", "run.pictures=false"]
    run = fit_task(compose_fit([*words, *small]), tmp_path / "run", style="quiet")
    assert run.summary["evaluation"][1]["groups"]["memory"][5] > 0.6  # chance is one in five


# Mistakes


def test_prototypes_need_the_label_of_the_same_image():
    with pytest.raises(ValueError, match=r"task\.label=next, allowed for Prototypes: again"):
        make_learner(compose_fit(["task=fewshot", PROTOTYPES]))


def test_prototypes_need_as_many_classes_as_the_task_has():
    words = ["task=fewshot", PROTOTYPES, "task.label=again", "task.ways=3"]
    with pytest.raises(ValueError, match=r"memory\.classes=5, allowed with task\.ways=3: 3"):
        make_learner(compose_fit(words))


def test_prototypes_need_features_beside_the_label():
    with pytest.raises(ValueError, match="in_dim is 5; allowed: above classes, 5"):
        Prototypes(5)


def test_other_memories_get_a_linear_head():
    assert isinstance(FewShot().head(LSTM(69)), torch.nn.Linear)


def test_without_scikit_learn_the_task_says_how_to_install_it(monkeypatch):
    whole = builtins.__import__

    def without(name, *rest):
        if name.startswith("sklearn"):
            raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
        return whole(name, *rest)

    digits.load.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"is not installed: pip install .*fewshot") as caught:
        FewShot()
    assert "\n" not in str(caught.value)
