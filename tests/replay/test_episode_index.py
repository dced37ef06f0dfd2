"""Where a step's episode begins and ends, against a walk along the tape."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memrl.replay.episode_index import EpisodeIndex

B, SPAN = 3, 11


def tape(steps: int, seed: int, share: float):
    """Starts and ends [T, B]: an episode begins where one ended."""
    ended = torch.rand(steps, B, generator=torch.Generator().manual_seed(seed)) < share
    start = torch.ones_like(ended)
    start[1:] = ended[:-1]
    return start, ended


def index_of(start, ended) -> EpisodeIndex:
    index = EpisodeIndex(SPAN, B, torch.device("cpu"))
    for s, e in zip(start, ended, strict=True):
        index.add(s, e)
    return index


def in_a_loop(start, ended, t, b):
    """The first and last step of t's episode, and whether it is wholly held."""
    begin = end = t
    while not start[begin][b]:
        begin -= 1
    while end < len(start) and not ended[end][b]:
        end += 1
    return begin, end, end < len(start) and begin >= len(start) - SPAN


@settings(max_examples=30, deadline=None)
@given(steps=st.integers(1, 40), seed=st.integers(0, 99), share=st.sampled_from([0.05, 0.3, 0.9]))
def test_spans_are_those_of_a_walk_along_the_tape(steps, seed, share):
    start, ended = tape(steps, seed, share)
    index, held = index_of(start, ended), list(range(max(0, steps - SPAN), steps))
    start, ended = start.tolist(), ended.tolist()
    for b in range(B):
        got = index.spans(torch.tensor(held).unsqueeze(1), torch.tensor([b]))
        for i, t in enumerate(held):
            begin, end, whole = in_a_loop(start, ended, t, b)
            assert bool(got.whole[i]) == whole
            assert int(got.begin[i]) == begin
            if whole:
                assert int(got.end[i]) == end


def test_saving_and_loading_knows_the_same_episodes():
    start, ended = tape(29, 1, 0.2)
    one, two = index_of(start, ended), EpisodeIndex(SPAN, B, torch.device("cpu"))
    two.load_state_dict(one.state_dict())
    for index in (one, two):
        index.add(torch.zeros(B, dtype=torch.bool), torch.ones(B, dtype=torch.bool))
    time, copy = torch.arange(19, 30).unsqueeze(1).expand(-1, B), torch.arange(B)
    for a, b in zip(one.spans(time, copy), two.spans(time, copy), strict=True):
        assert torch.equal(a, b)
