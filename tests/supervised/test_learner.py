"""Scores, lengths that grow, and a learner that continues where it was saved."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from small_fits import NEEDED, SMALL, TINY
from suites import slow

from memrl.evaluation.statistics import wilson
from memrl.memory import build
from memrl.supervised.config import compose_fit
from memrl.supervised.curriculum import Curriculum, CurriculumConfig
from memrl.supervised.evaluation import evaluate_lengths
from memrl.supervised.fitting import make_learner, table
from memrl.supervised.model import ModelOutput, SequenceModel, build_model
from memrl.supervised.scoring import score_batch
from memrl.tasks import Batch, Copy, FirstInput, NGrams
from memrl.tasks.task import starts_at_first_step

CPU = torch.device("cpu")


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_bits_are_scored_where_the_mask_says():
    task = Copy(bits=3)
    batch = task.sample(2, 5, drawn())
    logits = torch.randn(11, 2, 3, generator=drawn(1))
    logits[~batch.mask] = math.nan
    loss, right, judged = 0.0, 0, 0
    for t in range(11):
        for b in range(2):
            if batch.mask[t, b]:
                for i in range(3):
                    p = 1 / (1 + math.exp(-float(logits[t, b, i])))
                    wanted = float(batch.target[t, b, i])
                    loss -= math.log(p if wanted else 1 - p)
                    right += (p > 0.5) == bool(wanted)
                    judged += 1
    score = score_batch(task, logits, batch)
    assert float(score.loss) == pytest.approx(loss, rel=1e-5)
    assert (int(score.correct), int(score.scored)) == (right, judged)


def test_classes_are_scored_where_the_mask_says():
    task = FirstInput(symbols=3)
    batch = task.sample(5, 2, drawn())
    logits = torch.randn(3, 5, 3, generator=drawn(1))
    loss, right = 0.0, 0
    for b in range(5):
        said = [math.exp(float(z)) for z in logits[2, b]]
        wanted = int(batch.target[2, b])
        loss -= math.log(said[wanted] / sum(said))
        right += said.index(max(said)) == wanted
    score = score_batch(task, logits, batch)
    assert float(score.loss) == pytest.approx(loss, rel=1e-5)
    assert (int(score.correct), int(score.scored)) == (right, 5)


def test_what_is_not_scored_has_no_gradient():
    task = Copy(bits=3)
    batch = task.sample(2, 5, drawn())
    logits = torch.zeros(11, 2, 3, requires_grad=True)
    score_batch(task, logits, batch).loss.backward()
    assert ((logits.grad != 0).any(-1) == batch.mask).all()


@pytest.mark.parametrize("memory", ["ntm", slow("gtrxl"), "lru"])
def test_watching_step_by_step_says_what_the_sequence_says(memory):
    task = Copy(bits=3)
    model = build_model(task, {"name": memory}).double()
    batch = task.sample(2, 5, drawn())
    logits, seen = model.watch(batch.x.double(), batch.start)
    torch.testing.assert_close(logits, model(batch.x.double(), batch.start).logits)
    assert len(seen) == 11


def test_even_lengths_are_drawn_evenly():
    curriculum = Curriculum(Copy(min_length=3, max_length=7), CurriculumConfig(), drawn())
    lengths = [curriculum.draw() for _ in range(5000)]
    assert set(lengths) == {3, 4, 5, 6, 7}
    assert all(abs(lengths.count(n) - 1000) < 120 for n in range(3, 8))
    assert curriculum.complete


@pytest.mark.parametrize(("growth", "steps"), [("double", [2, 4, 8, 13]), (5, [2, 7, 12, 13])])
def test_lengths_grow_when_solved_and_only_then(growth, steps):
    config = CurriculumConfig(kind="grow", threshold=0.9, growth=growth)
    curriculum = Curriculum(Copy(min_length=2, max_length=13), config, drawn())
    for longest in steps:
        curriculum.update(0.89)
        assert curriculum.longest == longest
        drawn_lengths = {curriculum.draw() for _ in range(400)}
        assert (min(drawn_lengths), max(drawn_lengths)) == (2, longest)
        assert curriculum.complete == (longest == 13)
        curriculum.update(0.9)
    assert curriculum.longest == 13


def learned(learner, total: int) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = []
    learner.learn(total, lambda metrics: rows.append(dict(metrics)))
    return rows


SAMPLED = [*TINY, "memory=memnn", "memory.read=sampled", "memory.slots=3", "task.max_length=3"]
GROWS = [*SMALL, "curriculum.kind=grow", "curriculum.threshold=0.3"]


@pytest.mark.parametrize("words", [SMALL, GROWS, SAMPLED])
def test_a_learner_continues_where_it_was_saved(words):
    config = compose_fit([*words, "learner.lr_end=0.0"])
    whole, broken, loaded = (make_learner(config) for _ in range(3))
    loaded.model.load_state_dict(whole.model.state_dict())
    broken.model.load_state_dict(whole.model.state_dict())
    for weight in loaded.model.parameters():
        weight.data.fill_(0.5)
    want = learned(whole, 30)
    first: list[dict[str, float]] = []

    class Stop(Exception):
        pass

    def stop(metrics):
        first.append(dict(metrics))
        if broken.experience == 12:
            raise Stop

    with pytest.raises(Stop):
        broken.learn(30, stop)
    loaded.load_state_dict(copy.deepcopy(broken.state_dict()))
    assert [*first, *learned(loaded, 30)] == want
    assert len(want) == 5
    assert want[0]["train/lr"] == 1e-3
    assert want[-1]["train/lr"] == pytest.approx(1e-3 * 6 / 30)


@pytest.mark.parametrize(("epochs", "linear"), [(1, True), (0, False)])
def test_a_loaded_learner_is_evaluated_with_the_softmax_it_learned_with(epochs, linear):
    words = [*NEEDED["babi"], *TINY, "task=babi", "memory=memn2n", f"task.linear_start={epochs}"]
    saved, loaded = (make_learner(compose_fit(words)) for _ in range(2))
    learned(saved, 1)
    loaded.load_state_dict(copy.deepcopy(saved.state_dict()))
    assert saved.model.core.linear is loaded.model.core.linear is linear


def test_the_state_of_another_model_is_refused():
    learner = make_learner(compose_fit(SMALL))
    other = make_learner(compose_fit([*SMALL, "memory.hidden_dim=5"]))
    with pytest.raises(ValueError, match="not the one configured here"):
        learner.load_state_dict(other.state_dict())


def test_learning_ends_when_it_is_solved():
    learner = make_learner(compose_fit([*SMALL, "learner.stop_at=0.01"]))
    assert len(learned(learner, 600)) == 1
    assert learner.solved
    assert learned(learner, 600) == []


def test_learning_does_not_end_on_short_lengths():
    words = ["curriculum.kind=grow", "curriculum.threshold=1.0", "learner.stop_at=0.01"]
    learner = make_learner(compose_fit([*SMALL, *words]))
    rows = learned(learner, 30)
    assert len(rows) == 5
    assert not learner.solved


def test_a_loss_that_is_not_finite_stops_learning():
    learner = make_learner(compose_fit(SMALL))
    next(learner.model.parameters()).data.fill_(math.nan)
    with pytest.raises(FloatingPointError, match="NaN or infinite"):
        learned(learner, 6)


def test_the_core_cost_is_learned_from():
    moved = []
    for cost in (0.0, 1.0):
        words = [*TINY, "memory=compressive", "memory.layers=1", "memory.memory_len=2"]
        words += ["memory.compressed_len=2", "memory.rate=2", f"learner.core_cost={cost}"]
        learner = make_learner(compose_fit(words))
        before = copy.deepcopy(dict(learner.model.named_parameters()))
        (row,) = learned(learner, 6)
        assert row["train/core_cost"] > 0
        after = learner.model.named_parameters()
        moved.append({name for name, weight in after if not torch.equal(weight, before[name])})
    assert moved[0] < moved[1]  # the compression learns from nothing else


def test_scores_of_a_sampled_read_learn_from_the_core_cost():
    moved = []
    for cost in (0.0, 1.0):
        learner = make_learner(compose_fit([*SAMPLED, f"learner.core_cost={cost}"]))
        before = learner.model.core.of_memory.weight.detach().clone()
        learned(learner, 6)
        moved.append(not torch.equal(learner.model.core.of_memory.weight, before))
    assert moved == [False, True]


def test_the_core_cost_is_a_mean_over_steps():
    words = [*TINY, "memory=act", "memory.max_steps=2", "memory.ponder_cost=1"]
    (row,) = learned(make_learner(compose_fit(words)), 6)
    assert 2 <= row["train/core_cost"] <= 3  # one thought and R = 1, or two and less


def test_the_step_size_falls_by_half_at_once():
    rows = learned(make_learner(compose_fit([*SMALL, "learner.halve_every=12"])), 30)
    assert [row["train/lr"] for row in rows] == [1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4]


def parrot(x, start):
    """Answers copies of 3 bits right, up to five steps: with what was heard so many steps ago."""
    length = len(x) // 2
    delayed = torch.zeros_like(x)
    if length <= 5:
        delayed[length + 1 :] = x[:length]
    return ModelOutput(20 * delayed[..., :3] - 10, None)


def test_an_evaluation_tells_lengths_apart():
    task = Copy(bits=3)
    scores = evaluate_lengths(task, parrot, [2, 5, 7], 101, seed=3, device=CPU)
    assert [score.length for score in scores] == [2, 5, 7]
    assert [score.sequences for score in scores] == [101] * 3
    assert [score.accuracy for score in scores[:2]] == [1.0, 1.0]
    assert 0.45 < scores[2].accuracy < 0.55
    assert all(score.best_loss is None for score in scores)


def test_an_evaluation_knows_the_best_possible_where_the_task_does():
    task = NGrams(n=2, min_length=50, max_length=50)
    model = build_model(task, {"name": "gru", "hidden_dim": 5})
    (score,) = evaluate_lengths(task, model, [50], 70, seed=3, device=CPU)
    assert score.best_loss is not None
    assert score.best_loss < score.loss
    assert score.best_accuracy > 0.6


def test_an_accuracy_of_one_answer_a_sequence_has_wilsons_interval():
    task = FirstInput(symbols=3, min_length=2, max_length=2)

    def says_the_first(x, start):
        return ModelOutput(torch.tensor([1.0, 0.0, 0.0]).expand(*x.shape[:2], 3), None)

    (score,) = evaluate_lengths(task, says_the_first, [2], 41, seed=3, device=CPU)
    right = round(41 * score.accuracy)
    want = wilson([1] * right + [0] * (41 - right))
    assert 0 < right < 41
    assert score.interval == (want.low, want.high)
    assert f"{score.accuracy:.2%} [{want.low:.1%}, {want.high:.1%}]" in table([score])[1]


def test_an_accuracy_of_many_bits_a_sequence_has_no_interval():
    (score,) = evaluate_lengths(Copy(bits=3), parrot, [7], 11, seed=3, device=CPU)
    assert score.interval is None
    assert "[" not in table([score])[1]


class Fixed(Copy):
    """Two held-out sequences, padded to one length."""

    def held_out(self, batch):
        x = torch.zeros(7, 2, self.in_dim)
        mask = torch.zeros(7, 2, dtype=torch.bool)
        mask[5, 0] = mask[3, 1] = True
        return iter([Batch(x, torch.zeros(7, 2, self.bits), mask, starts_at_first_step(7, 2))])


def test_a_task_with_a_held_out_set_is_evaluated_on_it():
    task = Fixed(bits=3)
    core = build("gru", 4, {"hidden_dim": 5})
    model = SequenceModel(task.encoder(), core, task.head(core))
    (score,) = evaluate_lengths(task, model, [2, 5], 70, seed=3, device=CPU)
    assert (score.length, score.sequences) == (None, 2)
