"""memrl continual: every method learns all tasks; the table says what it kept of each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from test_app import memrl, sentence  # noqa: F401  a fixture

COURSE = ["continual", "tasks=[probe/Recall-v0 env.delay=1,probe/Recall-v0 env.delay=3]"]
SMALL = ["env.num=2", "agent.steps=8", "agent.bptt=4", "agent.minibatches=1", "total_steps=64",
         "evaluate.episodes=3", "threads=1", "track=off", "run.pictures=false", "memory=gru",
         "memory.hidden_dim=7", "agent.rehearsal.chunks=2"]  # fmt: skip
NO_CLEAR = [word for word in SMALL if "rehearsal" not in word]


def test_a_course_prints_what_each_method_forgot_and_goes_on_where_it_stopped(memrl):  # noqa: F811
    words = [*COURSE, "methods=[finetune,distil]", "root=here", "alone=true", *NO_CLEAR]
    outcome = memrl(*words)
    assert outcome.code == 0, outcome.err
    heads, finetune, distil = outcome.out.splitlines()[-3:]
    assert heads.split()[:4] == ["success", "average", "forgetting", "backward"]
    assert (finetune.split()[0], distil.split()[0]) == ("finetune", "distil")
    kept = json.loads(Path("here/continual.json").read_text())
    (one, two) = kept["finetune"]["scores"]
    assert kept["finetune"]["forgetting"] == pytest.approx((one[0] - two[0]) / 2)
    assert kept["finetune"]["forward"] is not None
    assert "train/teacher_kl" in (next(Path("here/distil").glob("1-*")) / "metrics.csv").read_text()
    shutil.rmtree("here/finetune")
    again = memrl(*words)
    assert again.out.splitlines()[-3:] == [heads, finetune, distil]
    assert "here/finetune/1-" in again.out
    assert "here/distil/1-" not in again.out


def test_a_course_of_other_tasks_is_evaluated_anew(memrl):  # noqa: F811
    """Scores of the run that both share were taken from the first course."""
    assert memrl(*COURSE, "root=here", *NO_CLEAR).code == 0
    tasks = next(word for word in COURSE if word.startswith("tasks="))
    longer = [word for word in COURSE if word != tasks]
    outcome = memrl(*longer, f"{tasks[:-1]},probe/Recall-v0 env.delay=2]", "root=here", *NO_CLEAR)
    assert outcome.code == 0, outcome.err
    scores = json.loads(Path("here/continual.json").read_text())["finetune"]["scores"]
    assert [len(row) for row in scores] == [3, 3, 3]


def test_clear_clones_what_was_done_in_the_earlier_task(memrl):  # noqa: F811
    outcome = memrl(*COURSE, "methods=[clear]", "root=here", "--json", *NO_CLEAR)
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["clear"]["measure"] == "success"
    run = next(Path("here/clear").glob("1-*"))
    assert "train/rehearsal_kl" in (run / "metrics.csv").read_text()


@pytest.mark.slow
def test_r2d2_learns_from_sequences_of_the_earlier_task(memrl):  # noqa: F811
    agent = ["agent=r2d2", "agent.steps=8", "agent.burn_in=2", "agent.unroll=4", "agent.n_step=1",
             "agent.batch=4", "agent.replay.fill=8", "agent.replay.capacity=200"]  # fmt: skip
    small = [word for word in NO_CLEAR if not word.startswith("agent.")]
    words = [*COURSE, "methods=[finetune,clear]", "root=here", "--json", *agent, *small]
    outcome = memrl(*words, "agent.rehearsal.steps=16")
    assert outcome.code == 0, outcome.err
    assert list(json.loads(outcome.out)) == ["finetune", "clear"]
    (clear, finetune) = (next(Path("here", name).glob("1-*")) for name in ("clear", "finetune"))
    assert "train/rehearsal_value" in (clear / "metrics.csv").read_text()
    assert "train/rehearsal_value" not in (finetune / "metrics.csv").read_text()
    ppo = [*NO_CLEAR, "env=probe/Recall-v0", f"agent.rehearsal.runs=[{clear}]"]
    said = sentence(memrl("train", *ppo))
    assert "was made by agent=r2d2, which has no distribution of actions (allowed: runs of" in said
    assert memrl("train", "env=probe/Recall-v0", *NO_CLEAR, "run.dir=ppo").code == 0
    said = sentence(
        memrl("train", *agent, "env=probe/Recall-v0", *small, "agent.rehearsal.runs=[ppo]")
    )
    assert "ppo was made by agent=ppo, which has no recurrent Q-network (allowed: runs of" in said


def test_progressive_networks_play_each_task_with_its_own_column(memrl):  # noqa: F811
    outcome = memrl(*COURSE, "methods=[progressive]", "root=here", "--json", *NO_CLEAR)
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)["progressive"]
    assert found["scores"][1][0] == found["scores"][0][0]
    assert found["forgetting"] == 0


def test_a_course_made_with_other_words_is_not_mixed(memrl):  # noqa: F811
    assert memrl(*COURSE, "root=here", *NO_CLEAR).code == 0
    said = sentence(memrl(*COURSE, "root=here", *NO_CLEAR, "memory.hidden_dim=5"))
    assert "was made with other words: memory.hidden_dim (7 there, 5 here); choose" in said


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tasks=[probe/Recall-v0,CartPole-v1]"], "CartPole-v1 has other observations: obs is"),
        (
            ["methods=[claer]"],
            "'claer', allowed: finetune, clear, distil, progressive; did you mean clear?",
        ),
        (["env=probe"], "takes no env=probe: tasks, root and methods choose it"),
        (["-m"], "takes no -m"),
        (["agent.rehearsal.runs=[x]"], "takes no agent.rehearsal.runs=[x]: tasks, root and"),
        (["agent.teacher.weight=2"], "is not read by finetune (it is by distil)"),
        (["alone=yes"], "alone=yes, allowed: true, false"),
        (["memori=gru"], "memori"),
    ],
)
def test_a_wrong_word_is_one_sentence(memrl, words, expected):  # noqa: F811
    course = COURSE if not words[0].startswith("tasks=") else COURSE[:1]
    assert expected in sentence(memrl(*course, *words))


def test_a_course_needs_tasks(memrl):  # noqa: F811
    assert "wants tasks, as in memrl continual tasks=[ID,ID]" in sentence(memrl("continual"))
