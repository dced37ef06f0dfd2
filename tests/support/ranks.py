"""Functions that run on several ranks: processes that are joined by gloo."""

from __future__ import annotations

import multiprocessing
import pickle
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.distributed as dist

HOST = "127.0.0.1"
TIME_LIMIT = 300.0  # seconds
# Imported once, by the server that processes are forked from.
PRELOAD = ["memrl.agents.ppo.agent", "memrl.agents.r2d2.agent", "memrl.envs", "torch.distributed"]


def on_ranks(work: Callable[..., Any], *arguments: Any, ranks: int = 2) -> list[Any]:
    """What ``work(*arguments)``, a function of a module, returns on each rank."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOAD)
    store = dist.TCPStore(HOST, 0, is_master=True, wait_for_workers=False)
    pipes, processes = [], []
    for rank in range(ranks):
        here, there = server.Pipe()
        given = there, work, arguments, rank, ranks, store.port
        process = server.Process(target=_run, args=given, daemon=True)
        process.start()
        there.close()
        pipes.append(here)
        processes.append(process)
    answers = []
    for pipe in pipes:
        assert pipe.poll(TIME_LIMIT), "a rank does not answer"
        answers.append(pickle.loads(pipe.recv_bytes()))
    for process in processes:
        process.join()
    for fault, _ in answers:
        assert fault is None, fault
    return [value for _, value in answers]


def _run(
    pipe: Connection, work: Callable[..., Any], arguments: Any, rank: int, ranks: int, port: int
) -> None:
    torch.set_num_threads(1)
    store = dist.TCPStore(HOST, port, is_master=False)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=ranks)
    # One that ends while another still connects would fail that one.
    store.set(f"connected/{rank}", "")
    store.wait([f"connected/{other}" for other in range(ranks)])
    try:
        answer = None, work(*arguments)
    except Exception:
        answer = traceback.format_exc(), None
    pipe.send_bytes(pickle.dumps(answer))
    dist.destroy_process_group()
