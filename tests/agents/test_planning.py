"""The agent that plans: what becomes a node, what is explored, how it acts, what it refuses."""

from __future__ import annotations

import pytest
import torch
from gymnasium import spaces
from scripted import Masked, Script
from small_episodic import copied
from small_episodic import make_agent as make_episodic
from small_plan import learn_plan, make_plan

from memrl.agents.base import Parts
from memrl.agents.planning.agent import PlanAgent
from memrl.agents.planning.config import PlanConfig
from memrl.agents.planning.node_keys import NodeKeys
from memrl.envs.make import make
from memrl.memory.stores.transitions import END, UNSEEN
from memrl.policies.backbone import PolicyConfig
from memrl.rollout.env import BatchedEnv, Transition


def words(rows):
    return [{name: str(value) for name, value in row.items()} for row in rows]


def goal_task(num=5, **options):
    return make("probe/Goal-v0", num, **{"size": 3, "dims": 2, **options})


def test_the_same_seed_gives_the_same_run_bit_for_bit():
    a, b, other = (words(learn_plan(make_plan(seed=seed), 4)) for seed in (5, 5, 6))
    assert a == b
    assert a != other


@pytest.mark.parametrize("options", [{}, {"history": 3}, {"bonus": 0.3, "visits": 2}])
def test_a_saved_agent_goes_on_as_if_nothing_happened(options):
    first, second = (make_plan(goal_task(), seed=seed, **options) for seed in (3, 99))
    learn_plan(first, 3)
    learn_plan(second, 1)
    second.load_state_dict(copied(first.state_dict()))
    assert words(learn_plan(first, 3)) == words(learn_plan(second, 3))
    obs = first.obs
    for agent in (first, second):
        agent.begin(seed=8)
    assert torch.equal(first.act(obs), second.act(obs))


def test_acting_touches_nothing_of_training():
    agent, alone = make_plan(), make_plan()
    learn_plan(agent, 3), learn_plan(alone, 3)
    agent.begin(seed=1)
    for t in range(5):
        agent.act(agent.obs, t == 0)
    assert words(learn_plan(agent, 2)) == words(learn_plan(alone, 2))


def test_greedy_acting_is_the_same_for_every_seed_and_shows_values():
    agent = make_plan()
    learn_plan(agent, 5)
    picks = []
    for seed in range(3):
        agent.begin(seed=seed, greedy=True)
        assert agent.memory() == {}
        picks.append(agent.act(agent.obs).tolist())
    assert picks[0] == picks[1] == picks[2]
    assert agent.memory()["action_values"].shape == (3, agent.env.action_space.n)
    assert agent.memory_state() is None


class Still(BatchedEnv):
    """One environment with one observation; action 3 pays."""

    def __init__(self):
        self.num_envs, self.device, self.taken = 1, torch.device("cpu"), []
        self.observation_space = spaces.Dict({"obs": spaces.Discrete(2)})
        self.action_space = spaces.Discrete(7)

    def reset(self, seed=None):
        return {"obs": torch.zeros(1, dtype=torch.int64)}

    def step(self, action):
        self.taken += action.tolist()
        never, obs = torch.zeros(1, dtype=torch.bool), self.reset()
        return Transition(obs, (action == 3).float(), never, never, obs, {})

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        return self.reset()


def test_every_action_is_tried_once_before_one_is_taken_for_its_value():
    env = Still()
    agent = make_plan(env, every=1, epsilon=0.0, gamma=0.5, optimism=9.0)
    learn_plan(agent, 1)
    assert sorted(env.taken[:7]) == list(range(7))
    assert set(env.taken[7:]) == {3}


def test_an_action_is_tried_as_often_as_visits_says():
    env = Still()
    learn_plan(make_plan(env, every=1, epsilon=0.0, gamma=0.5, optimism=9.0, visits=2, steps=17), 1)
    assert sorted(env.taken[:14]) == sorted([*range(7)] * 2)
    assert set(env.taken[14:]) == {3}


def test_what_is_not_worth_much_is_not_tried_once_there_is_something_better():
    env = Still()
    agent = make_plan(env, every=1, epsilon=0.0, gamma=0.0, optimism=0.5, steps=60)
    learn_plan(agent, 1)
    first = env.taken.index(3)
    assert set(env.taken[first:]) == {3}


def test_when_it_acts_it_takes_what_it_has_tried_where_it_has_tried_anything():
    env = Still()
    agent = make_plan(env, every=1, epsilon=0.0, steps=2)
    learn_plan(agent, 1)
    agent.begin(seed=4)
    seen = {agent.act(env.reset(), t == 0).item() for t in range(30)}
    assert seen <= set(env.taken)
    fresh = make_plan(Still())
    fresh.begin(seed=4)
    assert len({fresh.act(env.reset(), t == 0).item() for t in range(60)}) == 7


def node(agent, t):
    """The node of an observation of a script."""
    obs = {"obs": torch.tensor([t])}
    key = agent.observed.keys(obs, torch.zeros(1, 0, dtype=torch.int64)).key
    return int(agent.observed.graph.find(key))


def test_a_terminated_episode_leads_to_the_end_and_its_last_observation_is_no_node():
    env = Script([[1.0], [2.0], [4.0]], [[False], [False], [True]], [[False]] * 3)
    agent = make_plan(env, every=3, steps=3)
    learn_plan(agent, 1)
    graph, last = agent.observed.graph, node(agent, 2)
    taken = int((graph.count[last, :, 0] > 0).nonzero())
    assert graph.next[last, taken, 0] == END
    assert graph.reward[last, taken, 0] == 4.0
    assert node(agent, 3 + 4) == UNSEEN


def test_an_episode_that_was_cut_off_leads_to_its_last_observation():
    env = Script([[1.0], [2.0], [4.0]], [[False]] * 3, [[False], [False], [True]])
    agent = make_plan(env, every=3, steps=3)
    learn_plan(agent, 1)
    graph, last = agent.observed.graph, node(agent, 2)
    assert graph.next[last].sum() == node(agent, 3 + 4) > END


def test_a_row_that_is_no_step_is_neither_counted_nor_added():
    env = Script([[1.0], [9.0], [4.0]], [[True], [False], [True]], [[False]] * 3,
                 valid=[[True], [False], [True]])  # fmt: skip
    agent = make_plan(env, every=3, steps=3)
    agent.learn(1, lambda row: None)
    assert agent.env_steps == 2
    assert agent.observed.graph.nodes == 2
    assert node(agent, 1) == UNSEEN


def test_masked_actions_are_never_taken_and_no_plan_hopes_for_them():
    steps = 40
    env = Masked([[1.0, -1.0]] * steps, [[False, True]] * steps, [[False] * 2] * steps)
    agent = make_plan(env, every=8, steps=steps)
    agent.learn(1, lambda row: None)
    assert set(env.taken) == {1}
    q = agent.values.at(torch.tensor([node(agent, 0), node(agent, 1)]), None).q
    assert q[:, 0].tolist() == [-torch.inf] * 2
    agent.begin(greedy=True)
    assert agent.act(agent.obs).tolist() == [1, 1]


def test_once_all_moves_are_known_every_goal_is_reached_by_a_shortest_way():
    agent = make_plan(goal_task(), every=5, epsilon=0.0, steps=60)
    rows = learn_plan(agent, 1)
    assert rows[-1]["memory/known"] == 1.0
    assert rows[-1]["memory/nodes"] == 9  # cells; goals make no nodes
    assert not agent.observed.graph.reward.any()  # of goals that are gone
    test = goal_task(40)
    step = test.reset(7)
    distance = (step["observation"] - step["desired_goal"]).abs().sum(dim=1)
    took = torch.zeros(40, dtype=torch.int64)
    agent.begin(seed=2)
    for t in range(1, 5):
        step = test.step(agent.act(step))
        took = torch.where((took == 0) & step.terminated, t, took)
    assert torch.equal(took, distance)


def test_observations_that_look_alike_differ_by_what_was_before_them():
    space = spaces.Dict({"obs": spaces.Discrete(9)})
    keys = {k: NodeKeys(space, history=k, resolution=None) for k in (1, 2, 3)}

    def walk(k, *seen):
        recent = keys[k].initial(1, torch.device("cpu"))
        for obs in seen:
            key, recent = keys[k]({"obs": torch.tensor([obs])}, recent)
        return int(key)

    assert walk(1, 4, 5) == walk(1, 7, 5)
    assert walk(2, 4, 5) != walk(2, 7, 5)
    assert walk(2, 4, 4, 5) == walk(2, 7, 4, 5)
    assert walk(3, 4, 4, 5) != walk(3, 7, 4, 5)
    assert walk(2, 4, 5) != walk(2, 5, 4)


def test_an_episode_remembers_nothing_of_the_one_before():
    agent = make_plan(make("probe/Recall-v0", 3, delay=2), history=4)
    learn_plan(agent, 2)
    start = torch.tensor([True, False, True])
    agent.begin()
    agent.act(agent.obs)
    agent.act(agent.obs, start)
    alone = agent.observed.place(agent.obs, torch.zeros(3, 3, dtype=torch.int64)).recent
    assert (agent._carried.recent == alone).all(dim=1).tolist() == start.tolist()


def test_numbers_that_are_close_are_the_same_node_by_resolution():
    space = spaces.Dict({"x": spaces.Box(-1, 1, (2,)), "k": spaces.Discrete(3)})
    keys = NodeKeys(space, history=1, resolution=0.1)
    x = torch.tensor([[0.0, 0.52], [-0.01, 0.48], [0.06, 0.5], [0.0, 0.52]])
    k = torch.tensor([1, 1, 1, 2])
    key = keys({"x": x, "k": k}, keys.initial(4, x.device)).key.tolist()
    assert key[0] == key[1]
    assert len(set(key)) == 3


def test_the_mask_is_no_part_of_a_node():
    space = spaces.Dict({"obs": spaces.Discrete(3), "action_mask": spaces.MultiBinary(2)})
    keys = NodeKeys(space, history=1, resolution=None)
    obs = {"obs": torch.tensor([2, 2]), "action_mask": torch.tensor([[True, False], [True, True]])}
    assert len(set(keys(obs, keys.initial(2, torch.device("cpu"))).key.tolist())) == 1


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (
            {"memory": {"name": "gru"}},
            "agent=plan remembers in a graph whose nodes are observations: memory=gru is allowed",
        ),
        (
            {"policy": PolicyConfig(head_dim=9)},
            "policy.head_dim=9 is not read by agent=plan, which has no network",
        ),
        (
            {"env": lambda: make("Pendulum-v1", 1)},
            r"agent=plan chooses among Discrete actions, not in Box",
        ),
    ],
)
def test_parts_that_it_does_not_use_are_refused(parts, sentence):
    env = parts.get("env", goal_task)()
    given = Parts(
        env, parts.get("memory", {"name": "none"}), parts.get("policy", PolicyConfig()), seed=3
    )
    with pytest.raises(ValueError, match=sentence):
        PlanAgent.build(given, PlanConfig())
    env.close()


def test_a_graph_that_cannot_hold_a_cycle_is_refused():
    with pytest.raises(ValueError, match=r"agent\.capacity=19 is too small, allowed: at least 20"):
        make_plan(goal_task(), every=10, capacity=19)
    learn_plan(make_plan(goal_task(), every=10, capacity=20), 1)


def test_a_resolution_that_nothing_reads_is_refused():
    with pytest.raises(ValueError, match=r"agent\.resolution=0\.5 is not read: no entry of the"):
        make_plan(goal_task(), resolution=0.5)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (lambda: make_episodic("nec"), "not one of agent=plan: it lacks recent, plan"),
        (lambda: make_plan(history=2), r"saved with agent\.history=2, allowed: 1"),
        (lambda: make_plan(make("probe/Recall-v0", 5)), "saved with 5 environments, allowed: 3"),
    ],
)
def test_a_state_of_another_agent_is_refused_and_changes_nothing(other, sentence):
    agent, alone = make_plan(), make_plan()
    learn_plan(agent, 2), learn_plan(alone, 2)
    with pytest.raises(ValueError, match=sentence):
        agent.load_state_dict(other().state_dict())
    assert words(learn_plan(agent, 2)) == words(learn_plan(alone, 2))


def test_an_ablation_that_it_has_not_is_refused():
    with pytest.raises(ValueError, match="cannot ablate 'reads'"):
        make_plan().begin(ablate="reads")
