"""Steps wait for their returns, environment by environment, exactly as long as they must."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from memrl.agents.episodic.return_buffer import ReturnBuffer, Segment

GAMMA = 0.8
B, CYCLES, T = 3, 9, 2


def stream(seed=0, ends=0.2):
    """Steps of some cycles: number of the step, value, reward, ended, valid; each [cycles T, B]."""
    generator = torch.Generator().manual_seed(seed)
    rows = CYCLES * T
    value, reward, luck = (torch.rand(rows, B, generator=generator) for _ in range(3))
    number = torch.arange(rows * B).view(rows, B)
    ended = luck < ends
    valid = torch.ones_like(ended)
    valid[1:] = ~(ended[:-1] & (value[1:] < 0.5))  # some episodes spend a row on their reset
    return number, value, reward, ended & valid, valid


def played(horizon, rows):
    """What became known in every cycle: number of the step -> (cycle, return)."""
    pending, found = ReturnBuffer(horizon, GAMMA), {}
    number, value, reward, ended, valid = rows
    for cycle in range(CYCLES):
        span = slice(cycle * T, (cycle + 1) * T)
        kept = {"number": number[span], "twice": 2 * number[span].unsqueeze(-1)}
        segment = Segment(kept, value[span], reward[span], ended[span], valid[span])
        known = pending.extend(segment)
        numbers = known.entries["number"].tolist()
        assert numbers == sorted(numbers)
        assert known.entries["twice"].squeeze(-1).tolist() == [2 * n for n in numbers]
        for n, total in zip(numbers, known.returns.tolist(), strict=True):
            assert n not in found
            found[n] = (cycle, total)
    return found


def wanted(horizon, rows):
    """The same in plain loops, step by step and environment by environment."""
    number, value, reward, ended, valid = (part.tolist() for part in rows)
    found = {}
    for t in range(CYCLES * T):
        for b in range(B):
            if not valid[t][b]:
                continue
            total, j = 0.0, 0
            while True:
                if t + j == CYCLES * T:
                    break
                if j == horizon:
                    found[number[t][b]] = ((t + j) // T, total + GAMMA**j * value[t + j][b])
                    break
                total += GAMMA**j * reward[t + j][b]
                if ended[t + j][b]:
                    found[number[t][b]] = ((t + j) // T, total)
                    break
                j += 1
    return found


@pytest.mark.parametrize("horizon", [1, 2, 3, 5, 11, None])
@pytest.mark.parametrize("seed", range(4))
def test_every_return_is_known_when_it_can_be_and_is_the_one_of_the_definition(horizon, seed):
    rows = stream(seed)
    got, want = played(horizon, rows), wanted(horizon, rows)
    assert {n: cycle for n, (cycle, _) in got.items()} == {n: c for n, (c, _) in want.items()}
    for n, (_, total) in got.items():
        assert total == pytest.approx(want[n][1], abs=1e-5)


def test_an_episode_of_any_length_waits_for_its_end():
    rows = list(stream(ends=0.0))
    rows[3] = rows[3].clone()
    rows[3][-1] = True
    found = played(None, rows)
    assert len(found) == int(rows[4].sum())
    assert {cycle for cycle, _ in found.values()} == {CYCLES - 1}


def test_what_was_forgotten_never_returns():
    pending = ReturnBuffer(3, GAMMA)
    number, value, reward, ended, valid = stream(ends=0.0)
    for cycle in range(CYCLES):
        span = slice(cycle * T, (cycle + 1) * T)
        segment = Segment(
            {"number": number[span]}, value[span], reward[span], ended[span], valid[span]
        )
        if cycle == 4:
            pending.forget()
        known = pending.extend(segment).entries["number"].tolist()
        assert all(n >= 4 * T * B for n in known) or cycle < 4


def test_saved_steps_go_on_waiting():
    number, value, reward, ended, valid = stream(3)
    first, second = ReturnBuffer(5, GAMMA), ReturnBuffer(5, GAMMA)
    for cycle in range(CYCLES):
        span = slice(cycle * T, (cycle + 1) * T)
        segment = Segment(
            {"number": number[span]}, value[span], reward[span], ended[span], valid[span]
        )
        a, b = first.extend(segment), (second.extend(segment) if cycle > 4 else None)
        if b is not None:
            assert torch.equal(a.entries["number"], b.entries["number"])
            assert torch.equal(a.returns, b.returns)
        if cycle == 4:
            saved = deepcopy(first.state_dict())
            second.load_state_dict(saved, torch.device("cpu"))
