"""Spaces as tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from hypothesis import given, settings
from hypothesis import strategies as st

from memrl.errors import EnvOutputError
from memrl.rollout.spaces import (
    canonical_action,
    decode_action,
    encode,
    encode_action,
    export,
    exported,
    leaves,
    tensor_dtype,
)

sizes = st.integers(1, 5)
shapes = st.lists(st.integers(1, 3), min_size=0, max_size=3).map(tuple)
bounds = st.sampled_from([(np.uint8, 0, 255), (np.float64, -2, 3), (np.int32, -7, 7)])
boxes = st.builds(lambda b, shape: spaces.Box(b[1], b[2], shape, b[0]), bounds, shapes)
discretes = st.builds(lambda n, start: spaces.Discrete(n, start=start), sizes, st.integers(-3, 3))
multi_discretes = st.lists(sizes, min_size=1, max_size=3).map(spaces.MultiDiscrete)
multi_binaries = sizes.map(spaces.MultiBinary)
simple = st.one_of(boxes, discretes, multi_discretes, multi_binaries)
names = st.sampled_from(["a", "b", "c"])
nested = st.recursive(
    simple,
    lambda inner: st.dictionaries(names, inner, min_size=1, max_size=3).map(spaces.Dict),
    max_leaves=5,
)


@given(nested, st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_every_sample_lands_in_the_kept_space_with_its_dtype(space, seed):
    space.seed(seed)
    batch = batch_space(space, 3)
    batch.seed(seed)
    values = batch.sample()
    kept = spaces.Dict({key: leaf.space for key, leaf in leaves(space).items()})
    obs = {
        key: torch.from_numpy(encode(leaf, leaf.pick(values), key))
        for key, leaf in leaves(space).items()
    }
    for key, part in kept.items():
        assert obs[key].dtype == tensor_dtype(part)
        assert obs[key].shape == (3, *(part.shape or ()))
    arrays = export(kept, obs)
    assert all(row in exported(kept) for row in _rows(arrays))


def _rows(arrays):
    if isinstance(arrays, dict):
        return [{key: part[i] for key, part in arrays.items()} for i in range(3)]
    return list(arrays)


@given(st.one_of(boxes, discretes, multi_discretes, multi_binaries), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_actions_survive_the_way_there_and_back(space, seed):
    kept = canonical_action(space)
    kept.seed(seed)
    actions = np.stack([np.asarray(kept.sample()) for _ in range(3)])
    tensor = encode_action(kept, actions, torch.device("cpu"))
    assert tensor.dtype == (torch.float32 if isinstance(kept, spaces.Box) else torch.int64)
    theirs = decode_action(space, tensor)
    batch = batch_space(space, 3)
    assert batch.contains(theirs), (batch, theirs)
    if not isinstance(space, spaces.Box):
        start = getattr(space, "start", 0)
        np.testing.assert_array_equal((theirs - start).reshape(actions.shape), actions)


def test_an_image_stays_bytes_and_other_boxes_become_float32():
    kept = {
        key: leaf.space.dtype
        for key, leaf in leaves(
            spaces.Dict(
                {
                    "image": spaces.Box(0, 255, (7, 5, 3), np.uint8),
                    "wide": spaces.Box(-np.inf, np.finfo(np.float64).max, (2,), np.float64),
                }
            )
        ).items()
    }
    assert kept == {"image": np.uint8, "wide": np.float32}


def test_discrete_values_count_from_zero():
    leaf = leaves(spaces.Discrete(3, start=5))["obs"]
    assert encode(leaf, [5, 7], "obs").tolist() == [0, 2]


def test_nested_dicts_get_dotted_keys_and_text_is_dropped():
    space = spaces.Dict(
        {
            "eye": spaces.Dict({"left": spaces.Discrete(2), "words": spaces.Text(5)}),
            "mission": spaces.Text(9),
        }
    )
    assert list(leaves(space)) == ["eye.left"]


def test_minigrids_mission_space_is_dropped_like_any_text():
    from minigrid.core.mission import MissionSpace

    space = spaces.Dict({"mission": MissionSpace(lambda: "go"), "direction": spaces.Discrete(4)})
    assert list(leaves(space)) == ["direction"]


@pytest.mark.parametrize(
    ("space", "value", "said"),
    [
        (spaces.Discrete(5), 2.7, r"env 1 is 2.7, allowed: whole numbers in Discrete\(5\)"),
        (spaces.Discrete(5, start=3), 4.5, "env 1 is 4.5, allowed: whole numbers in Discrete"),
        (spaces.MultiDiscrete([3, 3]), [1.0, 0.5], "allowed: whole numbers in MultiDiscrete"),
        (spaces.MultiBinary(2), [1.0, 0.25], "allowed: whole numbers in MultiBinary"),
        (spaces.Box(0, 255, (2,), np.uint8), [7.0, 0.5], r"whole numbers in Box\(0, 255, \(2,\)"),
        (spaces.Box(0, 255, (2,), np.uint8), [7, 256], r"256\], outside Box\(0, 255, \(2,\)"),
        (spaces.Box(0, 255, (2,), np.uint8), [7.0, np.nan], "allowed: whole numbers in Box"),
    ],
)
def test_a_fraction_is_never_cut_to_a_whole_number(space, value, said):
    (leaf,) = leaves(space).values()
    whole = np.zeros_like(np.asarray(value)) + getattr(space, "start", 0)
    with pytest.raises(EnvOutputError, match=said):
        encode(leaf, np.stack([whole, np.asarray(value)]), "observation 'obs'")


def test_whole_numbers_are_ids_in_any_dtype():
    for space in (spaces.Discrete(5), spaces.Box(0, 255, (), np.uint8)):
        (leaf,) = leaves(space).values()
        assert encode(leaf, np.array([2.0, 4.0]), "observation 'obs'").tolist() in (
            [2, 4],
            [[2], [4]],
        )


def test_an_action_mask_is_binary_whatever_it_came_as():
    leaf = leaves(spaces.Dict({"action_mask": spaces.Box(0, 1, (5,), np.int8)}))["action_mask"]
    assert leaf.space == spaces.MultiBinary(5)
    assert encode(leaf, np.eye(5, dtype=np.int8)[:2], "mask").dtype == bool


@pytest.mark.parametrize(
    ("space", "word"),
    [
        (spaces.Tuple([spaces.Discrete(2)]), "Tuple"),
        (spaces.Sequence(spaces.Discrete(2)), "Sequence"),
        (spaces.Graph(spaces.Discrete(2), None), "Graph"),
        (spaces.Dict({"x": spaces.Tuple([spaces.Discrete(2)])}), "'x' is a Tuple"),
    ],
)
def test_a_space_without_a_tensor_is_named_with_those_that_have_one(space, word):
    with pytest.raises(ValueError, match=word) as error:
        leaves(space)
    assert "Box, Discrete, MultiDiscrete, MultiBinary, Dict" in str(error.value)


def test_an_action_space_that_is_a_dict_is_refused():
    with pytest.raises(ValueError, match="the action space is a Dict"):
        canonical_action(spaces.Dict({"go": spaces.Discrete(2)}))


def test_an_observation_of_nothing_but_text_is_refused():
    with pytest.raises(ValueError, match="once text is dropped"):
        leaves(spaces.Text(3))


def test_two_parts_with_one_dotted_key_are_refused():
    space = spaces.Dict({"a.b": spaces.Discrete(2), "a": spaces.Dict({"b": spaces.Discrete(2)})})
    with pytest.raises(ValueError, match=r"have the key 'a\.b'"):
        leaves(space)


def test_box_actions_are_clipped_and_never_rescaled():
    space = spaces.Box(-2.0, 3.0, (2,), np.float32)
    action = torch.tensor([[-9.0, 0.5], [1.0, 9.0]])
    assert decode_action(space, action).tolist() == [[-2.0, 0.5], [1.0, 3.0]]


def test_a_nan_action_names_its_env():
    action = torch.tensor([[0.0], [float("nan")], [0.0]])
    with pytest.raises(ValueError, match="env 1 is NaN"):
        decode_action(spaces.Box(-1.0, 1.0, (1,)), action)


def test_actions_of_a_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"shape \(3, 1\)"):
        decode_action(spaces.Discrete(2), torch.zeros(3, 1, dtype=torch.int64))
