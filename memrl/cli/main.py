"""The console script: run a command; a mistake is one sentence and a non-zero exit code."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

from memrl.cli.app import app
from memrl.cli.error_text import one_sentence, warning_text
from memrl.errors import RankLost


def main() -> None:
    """Run what the words of this process ask for."""
    # torch's threads spin while they wait for each other. For ever, and a run that shares its cores
    # is a hundred times slower; never, and an idle machine loses a third. Some 5 µs loses nothing,
    # and leaves the cores to the kernels of memories. Read once, when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    debug = "--debug" in sys.argv
    if not debug:
        warnings.formatwarning = warning_text
    try:
        app(_import_plugins(arguments))
    except Exception as error:
        if debug:
            raise
        sys.exit(_say(error))


def _import_plugins(arguments: list[str]) -> list[str]:
    """Import what ``--plugin MODULE`` names anywhere; the arguments without it.

    A module that lies elsewhere than here is found where the runs among the arguments had it.
    """
    from memrl.plugins import NAMED, folder_of

    words, modules, rest = iter(arguments), [], []
    for word in words:
        if word == "--plugin" or word.startswith("--plugin="):
            module = word.partition("=")[2] or next(words, "")
            if not module or module.startswith("-"):
                raise ValueError("--plugin wants the name of a module, as in --plugin leaky")
            modules.append(module.partition(":")[0])
        else:
            rest.append(word)
    NAMED[:] = modules
    if modules:
        from memrl.pipeline.loading import import_plugins
        from memrl.run.directory import RunDirectory

        places, searched = (word.removeprefix("--resume=") for word in rest), set(sys.path)
        runs = [RunDirectory(place) for place in places if os.path.isdir(place)]
        import_plugins(modules, *runs)
        for module in modules:
            folder = folder_of(module)
            if folder is not None and str(folder) not in {*searched, str(Path.cwd().resolve())}:
                print(f"{module} is imported from {folder}, where a run had it", file=sys.stderr)
    return rest


def _say(error: Exception) -> int:
    """Print the sentence of an error, or hand it to whoever started this rank; the exit code."""
    from memrl.distributed.sentence import write_sentence

    sentence, code = one_sentence(error), int(getattr(error, "exit_code", 1))
    lost = isinstance(error, RankLost)
    if not write_sentence(sentence, code, lost=lost):
        print(f"memrl: {sentence}", file=sys.stderr)
    return code
