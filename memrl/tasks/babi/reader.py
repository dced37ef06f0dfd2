"""Reads the bAbI files: stories, questions about them, supporting facts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple, TypeAlias

Sentence: TypeAlias = tuple[str, ...]  # words in lower case, without punctuation

TASKS = range(1, 21)
_FILE = re.compile(r"qa(\d+)(?:_.*_(train|test))?\.txt")


class Question(NamedTuple):
    """One question with the statements before it in its story."""

    facts: tuple[Sentence, ...]  # oldest first
    words: Sentence
    answer: str  # in lower case: a word, or several joined by commas
    support: tuple[int, ...]  # indices of the supporting facts


def read(path: Path) -> list[Question]:
    """Every question of one file, in the order of the file.

    Raises:
        ValueError: the file cannot be read, contains no question, or a line is malformed; the
            message names the file, the line and the expected format.
    """
    questions: list[Question] = []
    facts: dict[int, Sentence] = {}  # by their number in the story
    last = 0
    for at, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        number, text = _numbered(line, f"{path}:{at}")
        if number not in (1, last + 1):
            raise ValueError(
                f"{path}:{at}: line {number} of a story follows line {last}, allowed: {last + 1}, "
                "or 1 for a new story"
            )
        if number == 1:
            facts = {}
        last = number
        if "\t" in text:
            questions.append(_question(text, facts, f"{path}:{at}"))
        elif text.rstrip().endswith("?"):
            raise ValueError(
                f"{path}:{at}: got {text!r}, allowed: a question, a tab, its answer, a tab and the "
                "numbers of the supporting lines"
            )
        else:
            facts[number] = words(text)
    if not questions:
        raise ValueError(f"{path}: no question in {len(facts)} lines, so this is not a bAbI file")
    return questions


def words(text: str) -> Sentence:
    """A sentence as words: ``Mary took the apple.`` is mary, took, the, apple."""
    return tuple(re.findall(r"[\w']+", text.lower()))


def files(folder: Path, task: int) -> tuple[Path, Path]:
    """Training and test file of a task, in either layout of the data set.

    The layouts are ``qaN_name_train.txt`` beside ``qaN_name_test.txt`` (the published set), and
    folders ``train`` and ``test`` with ``qaNN.txt``.

    Raises:
        ValueError: a file is missing, or there are several.
    """
    if task not in TASKS:
        raise ValueError(f"task.number={task}, allowed: 1 to 20")
    if not folder.is_dir():
        raise ValueError(
            f"there is no folder {folder}, allowed: the one that contains the bAbI files"
        )
    train, test = (_file(folder, task, part) for part in ("train", "test"))
    return train, test


def _file(folder: Path, task: int, part: str) -> Path:
    found = []
    for path in [*folder.glob("qa*.txt"), *(folder / part).glob("qa*.txt")]:
        named = _FILE.fullmatch(path.name)
        if named and int(named[1]) == task and (named[2] or path.parent.name) == part:
            found.append(path)
    if len(found) != 1:
        many = f"several ({', '.join(map(str, sorted(found)))})" if found else "no"
        raise ValueError(
            f"{folder} has {many} {part} file of task {task}, allowed: one file "
            f"qa{task}_*_{part}.txt or {part}/qa{task:02}.txt"
        )
    return found[0]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file in UTF-8") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def _numbered(line: str, where: str) -> tuple[int, str]:
    number, _, text = line.strip().partition(" ")
    if not number.isascii() or not number.isdigit() or not words(text):
        raise ValueError(f"{where}: got {line!r}, allowed: a number, a space and a sentence")
    return int(number), text


def _question(text: str, facts: dict[int, Sentence], where: str) -> Question:
    question, answer, *support = (part.strip() for part in text.split("\t"))
    if not words(question) or not answer or len(support) > 1:
        raise ValueError(
            f"{where}: got {text!r}, allowed: a question, a tab, its answer, and optionally a tab "
            "and the numbers of supporting lines"
        )
    order = {number: index for index, number in enumerate(facts)}
    numbers = support[0].split() if support else []
    wrong = [n for n in numbers if not (n.isascii() and n.isdigit() and int(n) in order)]
    if wrong:
        raise ValueError(
            f"{where}: {wrong[0]!r} as a supporting line, allowed: the number of an earlier "
            "statement in the story"
        )
    return Question(
        tuple(facts.values()),
        words(question),
        answer.lower(),
        tuple(order[int(n)] for n in numbers),
    )
