"""An error as the one sentence that a person reads."""

from __future__ import annotations

from memrl.errors import RunError


def one_sentence(error: Exception) -> str:
    """What happened; an error that is not a user's mistake names its code, theirs or memrl's."""
    text = " ".join(str(error).split())
    if isinstance(error, ValueError | OSError | RunError):
        return text
    from memrl.plugins import own_error, own_line

    if own_line(error) is not None:  # code of the person's own, such as a memory or an environment
        return f"{own_error(error)}; --debug shows how it came there"
    name = type(error).__name__
    return f"{name}: {text} (this looks like a defect of memrl; --debug shows where it happened)"
