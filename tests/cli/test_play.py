"""A person plays: sees what the agent sees, acts by keys, is told what it came to."""

from __future__ import annotations

import io
import os
import select
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from gymnasium import spaces
from rich.console import Console
from run_fakes import Countdown

from memrl.cli.observation_view import draw_observation, half_blocks, tiles
from memrl.cli.play import LEVELS, Game, few_levels, play, take_turns
from memrl.config.composition import compose
from memrl.envs import make
from memrl.envs.catalogue import EnvCard
from memrl.envs.make import card
from memrl.envs.missions import decode


def shown(renderable) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(renderable)
    return console.file.getvalue()


def game(id: str, **options) -> Game:
    return Game(make(id, **options), card(id), id, seed=1)


def keys_in_turn(*keys):
    """A source of keys; when they are used up, the person presses Q."""
    left = iter(keys)
    return lambda: next(left, "q")


def test_a_person_who_remembers_the_cue_wins_the_t_maze():
    played = game("probe/TMaze-v0", length=2)
    first = shown(played)
    side = "left" if "cue: left" in first else "right"
    assert "probe/TMaze-v0" in first
    assert "↑ 0 forward   ← 1 left   → 2 right   q quit" in first
    played.press("up")
    assert "obs 2 corridor" in shown(played)
    assert "cue" not in shown(played)
    played.press("up")
    assert "obs 3 junction" in shown(played)
    assert "step 2   reward 0   return 0" in shown(played)
    played.press(side)
    last = shown(played)
    assert "obs 3 junction" in last  # the last observation of this episode, not the next one's
    assert "over:  return 1  length 3  success 1" in last
    played.press("up")  # any key: the next episode, in which nothing has been done yet
    assert "step 0   reward 0   return 0" in shown(played)
    assert "cue: " in shown(played)
    assert played.tally() == "1 episode:  return 1  length 3  success 1"


def test_the_tally_is_the_mean_over_finished_episodes():
    played = game("probe/OneStep-v0")
    assert played.tally() == "no episode was finished"
    for _ in range(3):
        right = int(played.seen["obs"][0].argmax())
        played.press(str(right))
        played.press("enter")
    played.press(str((int(played.seen["obs"][0].argmax()) + 1) % 3))
    assert played.tally() == "4 episodes:  return 0.75  length 1  success 0.75"


def test_a_success_that_the_task_does_not_report_is_left_out():
    played = game("CartPole-v1")
    while not played.verdict:
        played.press("0")
    assert "success" not in shown(played)
    assert played.tally() == f"1 episode:  return {played.steps}  length {played.steps}"


def test_an_environment_that_resets_one_step_later_shows_the_new_episode():
    played = Game(Countdown(1, next_step=True), EnvCard(), "countdown", seed=1)
    while not played.verdict:
        played.press("0")
    played.press("0")  # any key: the next episode
    assert played.seen["obs"].item() == 0
    played.press("0")
    assert played.steps == 1
    assert played.seen["obs"].item() == 1


def test_the_previous_action_is_shown_where_the_agent_gets_it():
    played = game("probe/TMaze-v0", prev_action=True, prev_reward=True)
    assert "prev_action none yet" in shown(played)
    assert "prev_reward 0.000" in shown(played)
    played.press("left")
    assert "prev_action 1 left" in shown(played)


def test_a_previous_action_of_several_parts_is_none_yet_too():
    played = game("popgym-BattleshipEasy-v0", prev_action=True)
    assert "prev_action none yet" in shown(played)
    for key in ("7", " ", "3", "enter"):
        played.press(key)
    assert "prev_action 7  3" in shown(played)


def test_a_key_that_means_nothing_is_answered_until_the_next_one():
    played = game("probe/TMaze-v0")
    played.press("z")
    assert "z means nothing here" in shown(played)
    assert "step 0 " in shown(played)
    played.press("up")
    assert "means nothing" not in shown(played)


@pytest.mark.slow
def test_a_person_is_not_kept_waiting_for_a_whole_level_bank():
    words = ["env=MiniGrid-Fetch-5x5-N2-v0"]
    config = few_levels(compose(words), [])
    assert (
        config.env.model_extra["bank_size"] == LEVELS < compose(words).env.model_extra["bank_size"]
    )
    asked = ["env.bank_size=9"]
    assert few_levels(compose([*words, *asked]), asked).env.model_extra["bank_size"] == 9
    assert few_levels(compose(["env=probe"]), []) == compose(["env=probe"])


def test_the_last_action_is_told_from_none_yet_where_a_flag_marks_the_start():
    played = game("probe/TMaze-v0", prev_action=True, antialias=True)
    assert "is_t0 1 (0 … 1)" in shown(played)
    assert "none yet" not in shown(played)
    played.press("right")
    assert "prev_action 2 right" in shown(played)


def test_what_is_typed_is_shown_and_mistakes_are_answered():
    played = game("popgym-PositionOnlyPendulumEasy-v0")
    for key in "9":
        played.press(key)
    assert "> 9" in shown(played)
    played.press("enter")
    assert "9 is no action: a number between −2 and 2 is" in shown(played)
    played.press("right")
    assert "no action" not in shown(played)
    assert "step 1 " in shown(played)


def test_time_that_runs_out_is_told_from_an_end():
    played = game("probe/TMaze-v0", length=1, limit=2)
    for _ in range(2):
        played.press("0")
    assert "out of time:  return 0  length 2  success 0" in shown(played)


def test_turns_end_with_q_and_with_an_interrupt():
    def interrupt() -> str:
        raise KeyboardInterrupt

    for source in (keys_in_turn("\x1b[A\x1b[A", "0", "q0"), interrupt):
        console = Console(file=io.StringIO(), width=100, force_terminal=True)
        played = game("probe/TMaze-v0")
        take_turns(played, source, console)
        assert played.steps == (0 if source is interrupt else 3)
        assert "no episode was finished" in console.file.getvalue()


# What is seen


def test_a_view_of_a_grid_is_drawn_as_the_agent_sees_it():
    image = np.full((3, 3, 3), [1, 0, 0], np.uint8)  # empty; indexed [column, row]
    image[0, 0] = [0, 0, 0]  # not seen
    image[1, 0] = [2, 5, 0]  # a wall
    image[2, 0] = [5, 1, 0]  # a green key
    image[0, 1] = [4, 4, 2]  # a locked yellow door
    image[1, 2] = [6, 2, 0]  # the agent carries a blue ball
    drawn = tiles(image)
    assert drawn.plain == "  ██⚷ \n▣ · · \n· ▲●· \n"
    styles = {drawn.plain[span.start : span.end]: span.style for span in drawn.spans}
    assert styles["⚷ "] == "bold green"
    assert styles["▣ "] == "bold yellow"
    assert styles["▲●"] == "bold blue"


def test_a_minigrid_observation_is_all_that_is_shown():
    played = game("MiniGrid-MemoryS7-v0", agent_view_size=3)
    lines = [line.strip("│ ") for line in shown(played).splitlines()[1:-1]]
    assert lines[0].startswith("direction 0 east")
    assert sum("▲" in line for line in lines) == 1
    assert len(lines) == 1 + 3 + 3  # direction, three rows of cells, an empty one, numbers, keys


def test_a_mission_is_a_sentence():
    env = make("MiniGrid-Fetch-5x5-N2-v0", bank_size=4)
    mission = decode(env.reset(seed=1)["mission"])[0]
    console = Console(file=io.StringIO(), width=100)
    console.print(draw_observation(env.reset(seed=1), env.observation_space, EnvCard()))
    assert f"mission {mission}" in console.file.getvalue()
    assert len(mission.split()) > 2


def test_a_picture_becomes_half_blocks_and_large_ones_are_averaged():
    image = np.zeros((4, 2, 3), np.uint8)
    image[0, 0], image[1, 0] = 255, 100
    drawn = half_blocks(image)
    assert drawn.plain == "▀▀\n▀▀\n"
    assert drawn.spans[0].style == "rgb(255,255,255) on rgb(100,100,100)"
    large = np.zeros((128, 128, 3), np.uint8)
    large[:2, :2] = [[[40, 0, 0], [60, 0, 0]], [[0, 0, 0], [0, 0, 0]]]
    drawn = half_blocks(large)
    assert len(drawn.plain.splitlines()) == 32
    assert drawn.spans[0].style == "rgb(25,0,0) on rgb(0,0,0)"


def test_plain_entries_are_labelled_numbers():
    space = spaces.Dict(
        {
            "cell": spaces.MultiDiscrete([4, 9]),
            "mask": spaces.MultiBinary(3),
            "obs": spaces.Box(-1.0, 1.0, (2,), np.float32),
            "symbol": spaces.Discrete(6),
        }
    )
    obs = {
        "cell": torch.tensor([[3, 8]]),
        "mask": torch.tensor([[True, False, True]]),
        "obs": torch.tensor([[0.25, -1.0]]),
        "symbol": torch.tensor([5]),
    }
    assert shown(draw_observation(obs, space, EnvCard())).splitlines() == [
        "cell 3  8",
        "mask 1  0  1",
        "obs 0.250  -1.000",
        "symbol 5 (0 … 5)",
    ]


# In a terminal


def test_without_a_terminal_there_is_one_sentence():
    with pytest.raises(ValueError, match="memrl play needs a terminal, and stdin is no terminal"):
        play("probe/TMaze-v0", [])


@pytest.mark.parametrize(
    ("id", "words", "said"),
    [
        ("probe/TMase-v0", [], "did you mean probe/TMaze-v0"),
        ("probe/TMaze-v0", ["env.lenght=3"], "did you mean env.length"),
        ("MiniGrid-MemoryS7-v0", ["env.agent_view_size=4"], "agent_view_size"),
    ],
)
def test_a_mistake_is_told_before_the_terminal_is_missed(id, words, said):
    with pytest.raises(ValueError, match=said):
        play(id, words)


def test_an_action_that_the_mask_forbids_is_not_taken():
    played = game("probe/TMaze-v0")
    played.seen = {**played.seen, "action_mask": torch.tensor([[True, False, True]])}
    played.press("left")
    assert "left is forbidden here" in played.complaint
    assert played.steps == 0
    played.press("up")
    assert played.steps == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a Windows console is no pty")
def test_a_terminal_plays_with_arrow_keys():
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "memrl", "play", "probe/TMaze-v0", "+env.length=1", "seed=3"]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "30"},
    )  # fmt: skip
    os.close(theirs)

    def until(words: str) -> str:
        seen, end = "", time.monotonic() + 120
        while words not in seen:
            assert time.monotonic() < end, seen
            if select.select([ours], [], [], 0.1)[0]:
                seen += os.read(ours, 4096).decode(errors="ignore")
        return seen

    try:
        side = "left" if "cue: left" in until("q quit") else "right"
        os.write(ours, b"\x1b[A")
        until("junction")
        os.write(ours, b"\x1b[D" if side == "left" else b"\x1b[C")
        until("over:  return 1  length 2  success 1")
        os.write(ours, b"q")
        until("1 episode:  return 1  length 2  success 1")
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
