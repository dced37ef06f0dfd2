"""Experiments on an agent of which one knows what it remembers: the first observation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rememberer import Rememberer
from run_fakes import Countdown, WalkAgent
from small_agents import make_agent
from suites import MEMORIES, slow

from memrl.envs.make import make
from memrl.evaluation.acting import Acting
from memrl.probing.changes import Capture, transplant
from memrl.probing.cue_reads import LONGEST, Inputs, examples, reads_of_cue
from memrl.probing.experiments import OTHER, OTHER_SLOTS, SAME, SWEPT, WIPED, Experiments
from memrl.probing.play import play
from memrl.probing.report import Checkpoint, report_of, when_as_text
from memrl.rollout.env import Cue

B = 61
CHECKPOINT = Checkpoint(which="best", env_steps=13, version=None, commit=None)


def experiments(**options):
    env = make("probe/Recall-v0", B, cues=3, delay=3)
    return Experiments(Rememberer(env), env, Acting(5, max_steps=9), **options)


@pytest.fixture(scope="module")
def run():
    here = experiments()
    return here, list(here.results())


def of(run, name):
    return [result for result in run[1] if result.name == name]


def test_the_memory_is_changed_at_five_moments_in_every_episode(run):
    here, _ = run
    assert here.rows.all()
    assert [result.when for result in of(run, WIPED)] == list(SWEPT)
    assert [result.when for result in of(run, OTHER)] == list(SWEPT)


def test_undisturbed_it_always_succeeds_and_never_names_the_other_cue(run):
    (plain,) = of(run, "undisturbed")
    assert plain.score.mean == 1
    assert plain.other.mean == 0
    assert plain.change is None


@pytest.mark.parametrize(
    "name", ["reads silenced", "wiped at every step", WIPED, "wiped from then on"]
)
def test_without_its_memory_it_names_cue_0(run, name):
    for result in of(run, name):
        assert result.score.mean == pytest.approx((run[0].plain.cue == 0).mean())
        assert result.change.mean == pytest.approx(result.score.mean - 1)


def test_another_cue_in_its_memory_is_named_instead(run):
    for result in of(run, OTHER):
        assert (result.score.mean, result.other.mean, result.change.mean) == (0, 1, -1)
        assert result.score.samples == result.other.samples == B


def test_the_state_of_the_same_cue_changes_nothing(run):
    (same,) = of(run, SAME)
    assert (same.score.mean, same.change.mean, same.other.mean) == (1, 0, 0)


def test_an_episode_without_partner_is_left_out_of_its_experiment():
    env = make("probe/Recall-v0", 3, cues=2)
    for seed in range(99):  # one episode with one cue, two with the other
        here = Experiments(Rememberer(env), env, Acting(seed, max_steps=9))
        if here.plain.cue.sum() in (1, 2):
            break
    samples = {result.name: result.score.samples for result in here.results()}
    assert (samples["undisturbed"], samples[OTHER], samples[SAME]) == (3, 3, 2)


def test_without_another_cue_among_the_episodes_none_is_transplanted():
    env = make("probe/Recall-v0", 1)
    here = Experiments(Rememberer(env), env, Acting(5, max_steps=9))
    results = list(here.results())
    assert not {result.name for result in results} & {OTHER, SAME}
    assert all(result.other is None for result in results)


def test_a_frozen_memory_still_holds_the_cue(run):
    (frozen,) = of(run, "frozen")
    assert frozen.score.mean == 1


def test_slots_alone_are_changed_where_a_controller_writes_to_them(run):
    assert of(run, OTHER_SLOTS) == of(run, "slots frozen") == []  # it has no controller


def test_the_cue_is_read_off_the_memory_after_it_has_left_the_observation(run):
    readout = run[0].readouts["cue"]
    assert readout.after == [0, 1, 2, 3, 4]
    assert [estimate.mean for estimate in readout.memory] == [1.0] * 5
    assert readout.observation[0].mean == 1
    share = max((run[0].plain.cue == cue).mean() for cue in range(3))
    assert readout.commonest == [pytest.approx(share)] * 5
    assert all(estimate.mean < 0.6 for estimate in readout.observation[1:])


def test_a_success_that_is_certain_leaves_nothing_to_read_off(run):
    assert run[0].readouts["success"].after == []


def test_what_it_reads_comes_from_the_step_that_saw_the_cue(run):
    reads = run[0].reads
    assert reads.last.mean == reads.later.mean == pytest.approx(1)
    assert reads.last_even == pytest.approx(1 / 5)
    assert reads.later_even == pytest.approx((1 / 2 + 1 / 3 + 1 / 4 + 1 / 5) / 4)
    assert reads.cue == (0, 0)
    np.testing.assert_allclose(reads.example.weights[:, 0], 1)


def test_everything_is_told_in_plain_values(run):
    told = report_of(*run, run="runs/here", checkpoint=CHECKPOINT, known={"memoryless": 0.3})
    assert told.checkpoint == CHECKPOINT
    assert told.measure == "success"
    assert (told.episodes, told.counted) == (B, B)
    assert [each.name for each in told.experiments] == [result.name for result in run[1]]
    assert told.reads.method == "gradient"
    assert len(told.reads.example) == len(run[0].reads.example.weights)
    assert told.readouts["cue"].after == [0, 1, 2, 3, 4]
    assert [when_as_text(when) for when in (None, 0.0, 0.25, 1.0, 3)] == [
        "", "after cue", "25%", "at the end", "step 3"]  # fmt: skip


def test_equal_seeds_give_equal_results(run):
    again = [(result.name, result.score, result.other) for result in experiments().results()]
    assert again == [(result.name, result.score, result.other) for result in run[1]]


def test_a_step_takes_the_place_of_the_moments():
    here = experiments(step=2)
    assert {result.when for result in here.results()} == {None, 2}


@pytest.mark.parametrize("step", [0, 5])
def test_a_step_beyond_the_episodes_is_refused(step):
    with pytest.raises(ValueError, match=rf"step={step}: the longest of {B} .*allowed: 1 to 4"):
        experiments(step=step)


def test_episodes_that_are_longer_than_the_limit_are_refused():
    env = make("probe/Recall-v0", B, delay=3)
    with pytest.raises(ValueError, match=f"{B} of {B} episodes are longer than max_steps=4 "):
        Experiments(Rememberer(env), env, Acting(5, max_steps=4))


def test_an_agent_without_a_memory_state_is_refused():
    with pytest.raises(ValueError, match="WalkAgent carries no memory state from step to step"):
        Experiments(WalkAgent(), Countdown(3), Acting(5, max_steps=9))


def test_a_memory_without_a_state_is_refused():
    agent = make_agent("none", make("probe/Recall-v0", 3))
    with pytest.raises(ValueError, match="NoMemory has no state to experiment on"):
        Experiments(agent, make("probe/Recall-v0", 3), Acting(5, max_steps=9))


def test_a_cue_that_stays_in_view_leaves_nothing_to_remember(monkeypatch):
    env = make("probe/Recall-v0", 3)
    always = torch.ones(3, dtype=torch.bool)
    monkeypatch.setattr(env, "cue", lambda: Cue(torch.zeros(3, dtype=torch.int64), always))
    with pytest.raises(ValueError, match="none of 3 episodes has 1 step after the cue was"):
        Experiments(Rememberer(env), env, Acting(5, max_steps=9))


def test_a_larger_gap_than_the_way_leaves_nothing_to_remember():
    assert experiments(gap=4).rows.all()
    with pytest.raises(ValueError, match=f"none of {B} episodes has 5 steps after the cue"):
        experiments(gap=5)


def test_who_sees_the_cue_again_after_the_change_is_told_apart(monkeypatch):
    env = make("probe/Recall-v0", B, cues=3, delay=3)
    agent, tell = Rememberer(env), env.cue
    half = torch.arange(B) < 20

    def cue():  # 20 episodes show it again at step 2, if the memory was wiped before
        state, shown = agent.memory_state(), tell()
        if state is None:
            return shown
        again = half & (env._state["t"] == 2) & (state.age < 2)
        return shown._replace(visible=shown.visible | again)

    monkeypatch.setattr(env, "cue", cue)
    results = list(Experiments(agent, env, Acting(5, max_steps=9)).results())
    early, *_, late = (result for result in results if result.name == WIPED)
    assert early.again.mean == pytest.approx(20 / B)
    assert early.unaided_score.samples == early.unaided_other.samples == B - 20
    assert late.again.mean == 0
    assert late.unaided_score == late.score
    assert results[0].again is None


def test_episodes_that_are_too_long_are_not_asked_where_reads_come_from(run):
    here, _ = run
    long = here.plain._replace(length=np.where(np.arange(B) < 50, LONGEST + 1, LONGEST))
    assert examples(long, here.rows).tolist() == list(range(50, 60))
    assert reads_of_cue(here._core, Inputs(here._encode, np.empty(0, np.int64)), long) is None


def test_episodes_of_one_step_leave_nothing_to_remember():
    env = make("probe/Bandit-v0", 3)
    with pytest.raises(ValueError, match="none of 3 episodes has 1 step after its first"):
        Experiments(make_agent("gru", env), env, Acting(5, max_steps=9))


def test_without_cues_nothing_is_transplanted_or_read_off():
    env = make("probe/Counting-v0", 7)
    here = Experiments(make_agent("dnc", env), env, Acting(5, max_steps=999))
    results = [*here.results()]
    names = {result.name for result in results}
    assert names >= {WIPED, "slots frozen", "reads silenced"}
    assert not names & {OTHER, SAME, OTHER_SLOTS}
    assert here.readouts == {}
    assert here.reads is None
    assert report_of(here, results, run="here", checkpoint=CHECKPOINT, known={}).reads is None


def test_where_no_choice_is_told_nothing_is_said_of_the_other_cue():
    env = make("probe/DelayedMatch-v0", 23, cues=3)
    here = Experiments(make_agent("gru", env), env, Acting(5, max_steps=9))
    results = [*here.results()]
    (given, *_) = (result for result in results if result.name == OTHER)
    assert given.other is given.unaided_other is None
    assert given.change.samples == 23
    report_of(here, results, run="here", checkpoint=CHECKPOINT, known={})


def test_a_task_without_success_is_scored_by_its_return():
    env = make("popgym-RepeatFirstEasy-v0", 7)
    here = Experiments(make_agent("gru", env), env, Acting(5, max_steps=999))
    assert here.measure == "return"
    assert next(here.results()).score.samples == 7


@pytest.mark.parametrize("memory", [name for name in MEMORIES if name != "none"])
def test_an_episode_that_is_given_its_own_state_goes_on_as_before(memory):
    env = make("probe/Recall-v0", 7, cues=3, delay=3, prev_action=True, prev_reward=True)
    agent = make_agent(memory, env)
    capture, at = Capture(torch.full((7,), 2)), torch.full((7,), 2)
    plain = play(agent, env, Acting(5, max_steps=9), change=capture)
    again = play(agent, env, Acting(5, max_steps=9), change=transplant(at, capture.states))
    np.testing.assert_array_equal(again.choice, plain.choice)
    np.testing.assert_array_equal(again.returns, plain.returns)


@pytest.mark.parametrize(
    "policy", [{"critic": "own"}, slow({"layers": 2})], ids=["two memories", "two layers"]
)
def test_memories_beside_and_above_each_other_are_changed_together(policy):
    env = make("probe/Recall-v0", 11, cues=2, delay=2)
    results = [
        *Experiments(make_agent("dnc", env, policy=policy), env, Acting(5, max_steps=9)).results()
    ]
    assert {result.name for result in results} >= {OTHER, OTHER_SLOTS, "slots frozen"}
