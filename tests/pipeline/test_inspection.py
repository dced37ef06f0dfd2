"""Episodes of a run for a page: with the names that its task knows, or one sentence."""

from __future__ import annotations

from contextlib import closing

import pytest

from memrl.config.composition import compose
from memrl.errors import RunError
from memrl.evaluation.acting import Acting
from memrl.pipeline.build import make_agent, make_env
from memrl.pipeline.inspection import inspect_run

TASK = ["env=probe/Recall-v0", "env.num=3", "agent.minibatches=1"]


def page_of(*words, **more):
    config = compose([*TASK, *words])
    with closing(make_env(config)) as env:
        agent = make_agent(config, env)
    return inspect_run(config, agent, Acting(5, max_steps=50, **more), episodes=2)


def test_observations_and_actions_are_words():
    page = page_of("memory=gru")
    assert page.title == "gru on probe/Recall-v0"
    for episode in page.episodes:
        assert {"obs", "action"} <= set(episode.words)
        assert len(episode.words["action"]) == episode.length
    (bars,) = (panel for panel in page.panels if panel.array == "probabilities")
    assert set(page.episodes[0].words["action"]) <= set(bars.names)


def test_an_ablation_is_told_in_the_title():
    assert page_of("memory=ntm", ablate="reads").title.endswith("reads silenced")


def test_the_nearest_keys_of_an_episodic_agent_are_shown():
    config = compose(["env=probe/Recall-v0", "env.num=3", "agent=mfec"])
    with closing(make_env(config)) as env:
        agent = make_agent(config, env)
        agent.learn(3 * 256, lambda metrics: None)
    page = inspect_run(config, agent, Acting(5, greedy=True, max_steps=50), episodes=2)
    (panel,) = (panel for panel in page.panels if panel.array == "neighbour_values")
    actions = page.episodes[0].arrays["action_values"].shape[1]
    assert (panel.kind, panel.rows, len(panel.names)) == ("matrix", "action", actions)
    first = page.episodes[0].arrays["neighbour_values"][0]
    assert first.shape[0] == actions


def test_an_agent_without_diagnostics_is_refused():
    with pytest.raises(RunError, match="none shows no diagnostics: there is no memory to inspect"):
        page_of("memory=none")


def test_the_bonus_of_training_is_told():
    page = page_of("memory=gru", "agent.bonus.kind=first_visit", "agent.bonus.scale=0.1")
    (panel,) = (panel for panel in page.panels if panel.array == "bonus")
    assert panel.group == "Decision"
    for episode in page.episodes:
        paid = episode.arrays["bonus"]
        assert set(paid.tolist()) == {0.0, 1.0}
        assert paid[-1] == 0.0  # its observation belongs to the next episode
