"""At which steps a memory looks: worked out by hand, and drawn."""

from __future__ import annotations

import pytest
import torch
from random_cores import draw

from memrl.memory import build
from memrl.probing.attention import attended_steps
from memrl.supervised.alignment_picture import draw_alignment
from memrl.supervised.config import compose_fit
from memrl.supervised.fitting import fit_task
from memrl.supervised.model import build_model
from memrl.tasks import Translate


def test_a_slot_holds_what_was_written_last_and_what_that_left():
    writes = torch.tensor([[1.0, 0.0], [0.0, 0.75], [0.25, 0.0]])
    reads = torch.tensor([[0.5, 0.5], [0.0, 1.0], [1.0, 0.0]])
    seen = [
        {"read_weights": read.view(1, 1, 2), "write_weights": write.view(1, 2)}
        for read, write in zip(reads, writes, strict=True)
    ]
    want = [[0.5, 0.0, 0.0], [0.0, 0.75, 0.0], [0.75, 0.0, 0.25]]
    assert attended_steps(build("dnc", 3), seen).tolist() == want


@pytest.mark.parametrize(("name", "own"), [("dnc", 1), ("ntm", 0)])  # own: a step sees its write
@pytest.mark.parametrize("write_heads", [1, 2])
def test_slots_are_followed_as_in_plain_loops(write_heads, name, own):
    steps, slots, heads = 7, 5, 3
    reads = draw(steps, heads, slots).softmax(-1)
    writes = draw(steps, write_heads, slots).softmax(-1)
    seen = [
        {"read_weights": read.unsqueeze(0), "write_weights": write.unsqueeze(0)}
        for read, write in zip(reads, writes, strict=True)
    ]
    got = attended_steps(build(name, 3), seen)
    for t in range(steps):
        for s in range(steps):
            share = 0.0
            for n in range(slots):
                held = 0.0
                if s < t + own:
                    held = min(1.0, float(writes[s, :, n].sum()))
                    for later in range(s + 1, t + own):
                        held *= 1 - min(1.0, float(writes[later, :, n].sum()))
                share += float(reads[t, :, n].mean()) * held
            assert float(got[t, s]) == pytest.approx(share)


@pytest.mark.parametrize("name", ["dnd", "memn2n", "pointer"])
def test_the_slots_of_a_window_are_the_inputs_before_a_step(name):
    core = build(name, 3, {"slots": 4}).double()
    x, start = draw(7, 1, 3), torch.zeros(1, dtype=torch.bool)
    state, seen = core.initial_state(1), []
    for x_t in x:
        _, state = core.step(x_t, state, start)
        seen.append({key: value.detach() for key, value in core.diagnostics(state).items()})
    got = attended_steps(core, seen)
    assert got.shape == (7, 7)
    for t in range(7):
        weights = seen[t]["read_weights"][0]
        weights = weights.mean(0) if weights.dim() == 2 else weights
        for s in range(7):
            back = t - s  # 1: the newest of the four, which comes last
            want = float(weights[4 - back]) if 1 <= back <= 4 else 0.0
            assert float(got[t, s]) == pytest.approx(want)
        assert float(got[t].sum()) == pytest.approx(1.0 if t else 0.0)


def test_what_a_vector_attends_to_is_not_known(tmp_path):
    task = Translate()
    model = build_model(task, {"name": "gru", "hidden_dim": 5})
    batch = task.sample(1, 5, torch.Generator().manual_seed(1))
    path = tmp_path / "alignment.png"
    assert draw_alignment(model, batch, task.texts(batch), path, title="") is None
    assert not path.exists()


def test_a_fit_of_words_draws_which_of_them_are_read(tmp_path):
    words = ["task=translate", "memory=dnc", "memory.hidden_dim=7", "threads=1", "track=off"]
    small = ["learner.batch=3", "learner.batches=2", "sequences=6", "evaluate.sequences=3"]
    run = fit_task(compose_fit([*words, *small]), tmp_path / "run", style="quiet")
    assert (run.path / "alignment.png").read_bytes().startswith(b"\x89PNG")


def test_rows_are_words_to_say_and_columns_words_that_were_heard(tmp_path):
    task = Translate()
    model = build_model(task, {"name": "dnc", "hidden_dim": 7})
    batch = task.sample(2, 5, torch.Generator().manual_seed(1))
    texts = task.texts(batch)
    figure = draw_alignment(model, batch, texts, tmp_path / "alignment.png", title="a title")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == texts.heard[:6]
    assert [label.get_text() for label in axes.get_yticklabels()] == texts.said[5:]
    assert axes.images[0].get_array().shape == (8, 6)
