"""Ranks of one attempt find each other in a store that outlives them.

torchrun starts ranks anew with the store of those that ended, which holds their addresses. It
counts its restarts on each machine by itself, so that is no number that all ranks share. Here rank
0 makes a name up, and learns from answers to it who is alive:

    rank 0   call = NAME    waits for answer/NAME/R of all R     go/NAME = their tokens
    rank R   reads call     answer/NAME/R = a token of its own   finds its token in go/NAME

What earlier ranks have left is a call that nobody lets go, or one without this rank's token: it is
passed over until another call comes.
"""

from __future__ import annotations

import time
import uuid
from datetime import timedelta
from typing import Any, Final

_PAUSE: Final = 0.05  # seconds between two looks


def agreed_name(store: Any, rank: int, ranks: int, limit: timedelta) -> str:
    """A name that all ranks of this attempt get, and that no earlier attempt had.

    Args:
        store: of torch.distributed.
        rank: of this process.
        ranks: how many there are.
        limit: of the waiting for one another.

    Raises:
        RuntimeError: others did not come in time; torch's own error.
    """
    return _call(store, ranks, limit) if rank == 0 else _answer(store, rank, limit)


def _call(store: Any, ranks: int, limit: timedelta) -> str:
    name = uuid.uuid4().hex
    store.set("memrl/call", name)
    answers = [f"memrl/answer/{name}/{other}" for other in range(1, ranks)]
    if answers:
        store.wait(answers, limit)
    store.set(f"memrl/go/{name}", ",".join(store.get(each).decode() for each in answers))
    return name


def _answer(store: Any, rank: int, limit: timedelta) -> str:
    token, answered = uuid.uuid4().hex, ""
    end = time.monotonic() + limit.total_seconds()
    store.wait(["memrl/call"], limit)
    while True:
        name = str(store.get("memrl/call").decode())
        if name != answered:
            store.set(f"memrl/answer/{name}/{rank}", token)
            answered = name
        go = f"memrl/go/{name}"
        if store.check([go]) and token in store.get(go).decode().split(","):
            return name
        if time.monotonic() > end:
            raise RuntimeError(f"rank 0 did not let rank {rank} go on")
        time.sleep(_PAUSE)
