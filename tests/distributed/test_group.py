"""What can go wrong before ranks train together, each in one sentence."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
import torch.distributed as dist
from ranks import on_ranks

from memrl.config.composition import compose
from memrl.distributed.collectives import rank, ranks
from memrl.distributed.group import joined
from memrl.errors import RunError
from memrl.pipeline.ranks import check_ranks
from memrl.pipeline.training import train

SMALL = ["env=probe/Recall-v0", "env.num=3"]


@pytest.fixture
def told(monkeypatch):
    """What torchrun tells rank 0 of two, at a port that is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for name, value in {
            "RANK": 0,
            "WORLD_SIZE": 2,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
        }.items():
            monkeypatch.setenv(name, str(value))
        yield port


def test_a_process_that_was_started_alone_stays_alone():
    with joined("cpu"):
        assert (rank(), ranks()) == (0, 1)


def test_a_group_of_one_is_joined_and_left(told, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("MASTER_PORT", "0")
    with joined("cpu") as membership:
        assert dist.is_initialized()
        assert (rank(), ranks()) == (0, 1)
        membership.leave()
        assert not dist.is_initialized()


A_TRAINED_GROUP = """
from pathlib import Path
from torch import distributed as dist, nn, optim
from memrl.distributed.group import joined

def threads():
    return {comm.read_text().strip() for comm in Path("/proc/self/task").glob("*/comm")}

with joined("cpu") as membership:
    weight = nn.Linear(2, 3).weight
    optim.Adam([weight]).zero_grad()  # as every step does: it imports torch's compiler
    dist.all_reduce(weight.detach())
    assert any("gloo" in name for name in threads()), threads()
    membership.leave()
    assert not any("gloo" in name for name in threads()), threads()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="names of threads are read from Linux's /proc")
def test_no_thread_of_a_group_lives_on_after_it_was_left():
    alone = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    command = [sys.executable, "-c", A_TRAINED_GROUP]
    done = subprocess.run(
        command, env={**os.environ, **alone}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_port_that_is_taken_is_named(told):
    with pytest.raises(RunError, match=f"127.0.0.1:{told} is in use: give the ranks another port"):
        joined("cpu").__enter__()


@pytest.mark.parametrize(
    ("backend", "device", "said"),
    [
        ("gloo", "cpu", "several processes need torch with gloo"),
        ("nccl", "cuda:0", "on device=cuda need NCCL, which this torch was built without"),
    ],
)
def test_a_backend_that_torch_lacks_is_named(told, monkeypatch, backend, device, said):
    monkeypatch.setattr(dist, f"is_{backend}_available", lambda: False)
    with pytest.raises(ValueError, match=said):
        joined(device).__enter__()


@pytest.mark.parametrize("agent", ["nec", "mfec", "plan"])
def test_agents_that_are_not_trained_by_gradients_are_refused(agent):
    config = compose([*SMALL, f"agent={agent}", "memory=none", "workers=2"])
    with pytest.raises(ValueError, match=rf"workers=2 with agent={agent}: .*allowed: ppo, r2d2"):
        check_ranks(config)


def test_a_script_that_asks_for_workers_is_told_how_they_are_started():
    with pytest.raises(ValueError, match="workers=2 starts processes on the command line alone"):
        train(compose([*SMALL, "workers=2"]))


@pytest.mark.parametrize("words", [["fit", "task=copy"], ["continual", "tasks=[a,b]"]])
def test_commands_of_one_process_refuse_torchrun(told, words, monkeypatch, capsys):
    from memrl.cli.main import main

    monkeypatch.setattr("sys.argv", ["memrl", *words])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().err
    assert said == (
        f"memrl: memrl {words[0]} runs in one process: torchrun starts memrl train and memrl "
        "distil alone\n"
    )


def checked():
    """What a rank with a learning rate of its own says."""
    try:
        check_ranks(compose([*SMALL, f"agent.lr={0.25 + 0.5 * rank()}", "threads=1"]))
    except ValueError as error:
        return str(error)


@pytest.mark.slow
def test_ranks_with_other_words_are_refused():
    wanted = "rank 1 has agent.lr=0.75 where rank 0 has 0.25: start all ranks with the same words"
    assert on_ranks(checked) == [wanted, wanted]
