"""Every agent goes on from a saved state, with vectors to see, and leaves that state as it was."""

from __future__ import annotations

from copy import deepcopy
from functools import partial

import pytest
import torch
from small_agents import learn, make_agent
from small_episodic import learn as learn_episodic
from small_episodic import make_agent as make_episodic
from small_plan import learn_plan, make_plan
from small_r2d2 import learn_r2d2, make_r2d2
from suites import slow_but

from memrl.agents.auxiliary import AuxiliaryConfig
from memrl.agents.ppo.config import BonusConfig, SelfImitationConfig
from memrl.envs.make import make

RECALLS = AuxiliaryConfig(kind="recall", distance=2)
BEST = SelfImitationConfig(kind="episodes", capacity=5, longest=30)
BONUSES = ("first_visit", "count", "novelty_difference", "elliptical")
AGENTS = {
    "nec": (partial(make_episodic, "nec"), learn_episodic),
    "mfec": (partial(make_episodic, "mfec"), learn_episodic),
    "plan": (make_plan, learn_plan),
    "plan with a history": (partial(make_plan, history=3, resolution=0.1), learn_plan),
    "r2d2 lstm": (partial(make_r2d2, "lstm"), learn_r2d2),
    "r2d2 dnc without burn-in": (partial(make_r2d2, "dnc", burn_in=0), learn_r2d2),
    "r2d2 lstm bootstrapping beyond its unroll": (
        partial(make_r2d2, "lstm", n_step=9, refresh_states=True, stride=4),
        learn_r2d2,
    ),
    **{
        f"ppo dnc {kind}": (partial(make_agent, "dnc", bonus=BonusConfig(kind=kind)), learn)
        for kind in BONUSES
    },
    "ppo lstm self-imitation": (partial(make_agent, "lstm", self_imitation=BEST), learn),
    "ppo gru auxiliary": (partial(make_agent, "gru", auxiliary=RECALLS), learn),
    "r2d2 gru auxiliary": (partial(make_r2d2, "gru", auxiliary=RECALLS), learn_r2d2),
}

KEPT = {
    *("nec", "plan", "r2d2 lstm", "ppo dnc count", "ppo lstm self-imitation"),
    *("ppo gru auxiliary", "r2d2 gru auxiliary"),
}


def task():
    return make("popgym-NoisyPositionOnlyCartPoleEasy-v0", 3)


def words(rows):
    return [{name: str(value) for name, value in row.items()} for row in rows]


@pytest.mark.parametrize("agent", slow_but(KEPT, AGENTS))
def test_the_next_iterations_of_a_loaded_agent_are_those_of_the_saved_one(agent):
    build, run = AGENTS[agent]
    first, second = (build(task(), seed=seed) for seed in (3, 99))
    run(first, 2)
    second.load_state_dict(deepcopy(first.state_dict()))
    assert words(run(first, 3)) == words(run(second, 3))
    assert_equal_trees(first.state_dict(), second.state_dict())


@pytest.mark.parametrize(
    "agent", ["nec", "plan with a history", "r2d2 lstm", "ppo lstm self-imitation"]
)
def test_an_agent_goes_on_in_the_midst_of_trials(agent):
    build, run = AGENTS[agent]
    first, second = (build(make("probe/TMaze-v0", 3, length=2, trial=3), seed=s) for s in (3, 99))
    run(first, 2)
    second.load_state_dict(deepcopy(first.state_dict()))
    assert words(run(first, 3)) == words(run(second, 3))
    assert_equal_trees(first.state_dict(), second.state_dict())


@pytest.mark.parametrize("saved_at", [1, 4])
@pytest.mark.parametrize("agent", ["nec", "mfec"])
def test_every_field_stays_that_of_the_run_that_never_stopped(agent, saved_at):
    """Steps wait for their returns in a buffer that grows at moments of its own."""
    build, run = AGENTS[agent]
    first, second = (build(task(), seed=seed) for seed in (3, 99))
    run(first, saved_at)
    second.load_state_dict(deepcopy(first.state_dict()))
    for _ in range(5):
        run(first, 1)
        run(second, 1)
        assert_equal_trees(first.state_dict(), second.state_dict())


def assert_equal_trees(one, other):
    torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    "agent", ["nec", "mfec", "plan with a history", "r2d2 lstm", "r2d2 dnc without burn-in"]
)
def test_what_was_loaded_is_not_written_into(agent):
    build, run = AGENTS[agent]
    first, second = (build(task(), seed=seed) for seed in (3, 99))
    run(first, 2)
    state = deepcopy(first.state_dict())
    kept = deepcopy(state)
    second.load_state_dict(state)
    run(second, 2)
    assert_equal_trees(state, kept)


def test_where_environments_begin_anew_so_do_the_sums_of_their_episodes():
    agent = make_agent(env=make("CartPole-v1", 3))
    learn(agent, 1)
    assert agent.collector.episode_length.any()
    agent.load_state_dict(deepcopy(agent.state_dict()))
    assert not agent.collector.episode_length.any()
    assert not agent.collector.episode_return.any()


IMITATING = {"self_imitation": BEST}
IMITATING_MORE = {"self_imitation": BEST.model_copy(update={"capacity": 6})}
RECALLING = {"auxiliary": RECALLS}
STANDARDISED = {"normalise_returns": True}
COUNTING, VISITING = ({"bonus": BonusConfig(kind=kind)} for kind in ("count", "first_visit"))


@pytest.mark.parametrize(
    ("saved", "here", "sentence"),
    [
        ({}, IMITATING, r"agent\.self_imitation was off when .*allowed: on"),
        (IMITATING, {}, r"agent\.self_imitation was on when .*allowed: off"),
        ({}, STANDARDISED, r"agent\.normalise_returns was off when .*allowed: on"),
        (STANDARDISED, {}, r"agent\.normalise_returns was on when .*allowed: off"),
        ({}, RECALLING, r"agent\.auxiliary was off when .*allowed: on"),
        (RECALLING, {}, r"agent\.auxiliary was on when .*allowed: off"),
        ({}, COUNTING, r"agent\.bonus was off when .*allowed: on"),
        (COUNTING, {}, r"agent\.bonus was on when .*allowed: off"),
        (COUNTING, VISITING, "the saved bonus has entries count, seen, visits"),
        (IMITATING_MORE, IMITATING, "the saved episodes are .*6, 30"),
    ],
)
def test_a_ppo_state_of_other_options_is_refused_and_nothing_is_changed(saved, here, sentence):
    agent = make_agent(seed=3, **here)
    refused(agent, make_agent(seed=99, **saved).state_dict(), sentence)


def test_an_r2d2_state_with_an_auxiliary_loss_is_refused_without_one_and_nothing_is_changed():
    refused(
        make_r2d2(),
        make_r2d2(seed=99, **RECALLING).state_dict(),
        r"agent\.auxiliary was on when .*allowed: off",
    )


@pytest.mark.parametrize("build", [make_agent, make_r2d2])
def test_a_state_from_before_there_were_auxiliary_losses_loads(build):
    first, second = build(seed=3), build(seed=99)
    state = deepcopy(first.state_dict())
    del state["auxiliary"]
    second.load_state_dict(state)
    assert_equal_trees(second.state_dict(), first.state_dict())


def test_a_state_of_another_agent_is_refused_by_ppo_and_nothing_is_changed():
    other = make_episodic("nec").state_dict()
    refused(make_agent(), other, "not one of agent=ppo: it lacks iteration, policy")


def test_a_ppo_state_of_another_memory_is_refused_and_nothing_is_changed():
    refused(make_agent("gru"), make_agent("lstm", seed=99).state_dict(), "the saved policy is not")


@pytest.mark.parametrize("build", [make_agent, partial(make_episodic, "nec")])
def test_a_state_of_another_number_of_copies_is_refused_and_nothing_is_changed(build):
    agent, other = (build(env=make("probe/Recall-v0", n), seed=n) for n in (3, 2))
    refused(agent, other.state_dict(), "the state was saved with 2 environments, allowed: 3")


def refused(agent, state, sentence):
    before = deepcopy(agent.state_dict())
    with pytest.raises(ValueError, match=sentence):
        agent.load_state_dict(state)
    assert_equal_trees(agent.state_dict(), before)
