"""Episodes that are recorded side by side are those that one agent would play."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from run_fakes import WalkAgent
from small_agents import make_agent

from memrl.agents.acting import Actor
from memrl.envs.make import make
from memrl.evaluation.acting import Acting
from memrl.evaluation.recording import record_episode
from memrl.inspector.contents import contents
from memrl.inspector.record import record_episodes
from memrl.probing.provenance import sources_of


def recall(num):
    return make("probe/Recall-v0", num, delay=2, prev_action=True, prev_reward=True)


def test_one_environment_gives_the_episode_of_record_episode():
    agent, arrays = make_agent("dnc"), None
    arrays = record_episodes(agent, recall(1), Acting(5)).episodes[0].arrays
    one = record_episode(agent, recall(1), Acting(5))
    np.testing.assert_array_equal(arrays["reward"], one.rewards)
    for name, values in one.memory.items():
        np.testing.assert_allclose(arrays[name], values.reshape(arrays[name].shape), atol=1e-6)


def test_an_episode_ends_where_its_environment_ends_it(recorded):
    for episode in recorded.episodes:
        assert episode.ended
        assert episode.length == len(episode.arrays["reward"]) == 4
        assert episode.success == bool(episode.arrays["reward"][-1] > 0)


def test_episodes_repeat_by_their_seed(recorded):
    agent = make_agent("dnc")
    again, other = (record_episodes(agent, recall(3), Acting(s), gamma=0.5) for s in (5, 6))
    for one, two in zip(recorded.episodes, again.episodes, strict=True):
        for name, values in one.arrays.items():
            np.testing.assert_array_equal(values, two.arrays[name])
    differ = [
        not np.array_equal(one.arrays["probabilities"], two.arrays["probabilities"])
        for one, two in zip(recorded.episodes, other.episodes, strict=True)
    ]
    assert any(differ)


def test_surprise_is_the_error_of_the_values_prediction(recorded):
    arrays = recorded.episodes[1].arrays
    value, reward = arrays["value"], arrays["reward"]
    after = [*value[1:], 0.0]
    want = [r + 0.5 * v_next - v for r, v_next, v in zip(reward, after, value, strict=True)]
    np.testing.assert_allclose(arrays["surprise"], want, rtol=1e-6)


def test_the_surprise_of_an_episode_that_was_cut_off_has_no_end():
    episode = record_episodes(make_agent("gru"), recall(2), Acting(5, max_steps=3)).episodes[0]
    assert not episode.ended
    assert episode.success is None
    assert np.isnan(episode.arrays["surprise"][-1])
    assert np.isfinite(episode.arrays["surprise"][:-1]).all()


def test_what_a_memory_stores_is_kept_beside_its_diagnostics(recorded):
    arrays = recorded.episodes[0].arrays
    assert arrays["memory"].shape == (4, 5, 3)
    assert arrays["link"].shape == (4, 5, 5)
    assert arrays["usage"].shape == (4, 5)


def test_gates_and_allocation_are_those_of_the_writes(recorded):
    for episode in recorded.episodes:
        arrays = episode.arrays
        free, gate = arrays["allocation_weights"].sum(-1), arrays["allocation_gate"][:, 0]
        sought = 1.0  # content-based weights sum to one
        want = arrays["write_gate"][:, 0] * (gate * free + (1 - gate) * sought)
        np.testing.assert_allclose(arrays["write_strength"], want, atol=1e-6)


@pytest.mark.parametrize(
    ("policy", "memories"), [({"layers": 2}, ("0.", "1.")), ({"critic": "own"}, ("", "critic."))]
)
def test_each_of_several_memories_tells_the_gates_of_its_own_inputs(policy, memories):
    agent = make_agent("dnc", policy=policy)
    arrays = record_episodes(agent, recall(1), Acting(5)).episodes[0].arrays
    for memory in memories:
        told = {
            name: arrays[f"{memory}{name}"]
            for name in ("write_strength", "write_gate", "allocation_gate", "allocation_weights")
        }
        free, gate = told["allocation_weights"].sum(-1), told["allocation_gate"][:, 0]
        want = told["write_gate"][:, 0] * (gate * free + 1 - gate)
        np.testing.assert_allclose(told["write_strength"], want, atol=1e-6)


def test_a_memory_that_is_reset_at_every_step_allocates_its_first_slot():
    agent = make_agent("dnc")
    episode = record_episodes(agent, recall(1), Acting(5, ablate="state")).episodes[0]
    allocation = episode.arrays["allocation_weights"]
    np.testing.assert_allclose(allocation, np.eye(5)[[0] * 4], atol=1e-5)


def test_the_contents_of_layers_have_their_numbers():
    state = make_agent("ntm", policy={"layers": 2}).policy.initial_state(3)
    assert {name: tuple(x.shape) for name, x in contents(state).items()} == {
        "0.memory": (3, 5, 3),
        "1.memory": (3, 5, 3),
    }


def test_an_agent_that_tells_nothing_of_its_network_is_recorded_too():
    episode = record_episodes(WalkAgent(), recall(1), Acting(5)).episodes[0]
    assert "value" not in episode.arrays
    assert "surprise" not in episode.arrays
    assert episode.arrays["hidden"].shape == (4, 67)


def test_words_are_told_of_each_step():
    told = []

    def tell(obs, action):
        told.append((int(obs["obs"]), int(action)))
        return {"action": str(int(action))}

    episodes = record_episodes(make_agent("gru"), recall(1), Acting(5), tell=tell).episodes
    assert episodes[0].words == {"action": [str(action) for _, action in told]}
    assert told[0][0] != told[-1][0]


def test_actors_tell_what_their_network_said():
    agent = make_agent("gru")
    env = recall(3)
    agent.begin(3)
    assert agent.outputs() == {}
    agent.act(env.reset(3))
    said = agent.outputs()
    assert said["value"].shape == (3,)
    torch.testing.assert_close(said["probabilities"].sum(-1), torch.ones(3))
    assert isinstance(agent.actor, Actor)


@pytest.mark.slow
def test_pictures_are_taken_where_there_are_some():
    env = make("MiniGrid-MemoryS7-v0", 2)
    agent = make_agent("gru", env)
    frame = env.render(0) if env.reset(5) else None
    recorded = record_episodes(agent, env, Acting(5, max_steps=3))
    sheet, numbers = recorded.sheets["frame"], recorded.episodes[0].pictures["frame"][0]
    side = sheet.side
    assert (sheet.tiles[numbers[1, 2]] == frame[side : 2 * side, 2 * side : 3 * side]).all()


def test_sources_are_worked_out_for_as_many_steps_as_are_asked_for():
    agent = make_agent("dnc")
    one, two, three = record_episodes(agent, recall(3), Acting(5), source_steps=9).episodes
    want = sources_of(agent, record_episode(agent, recall(1), Acting(5))).weights
    got = record_episodes(agent, recall(1), Acting(5), source_steps=4).episodes[0]
    np.testing.assert_allclose(got.arrays["sources"], want, atol=1e-6)
    assert one.arrays["sources"].shape == two.arrays["sources"].shape == (4, 4)
    assert one.sources_method.startswith("exact")
    assert "sources" not in three.arrays


def test_the_cue_is_dated_where_the_environment_shows_it(recorded):
    assert [episode.cue_step for episode in recorded.episodes] == [0, 0, 0]


def test_an_episode_knows_which_cue_it_has(recorded):
    env = recall(3)
    env.reset(5)
    assert [episode.cue for episode in recorded.episodes] == env.cue().identity.tolist()


def test_without_a_cue_of_the_environment_its_metrics_date_it():
    env = recall(1)
    env.cue = lambda: None
    step = env.step

    def seen(action):
        taken = step(action)
        return taken._replace(metrics={**taken.metrics, "cue_seen": torch.ones(1)})

    env.step = seen
    assert record_episodes(make_agent("gru"), env, Acting(5)).episodes[0].cue_step == 1
