"""bAbI files are read as their authors meant them, and a mistake in one is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from memrl.tasks.babi.reader import Question, files, read

SLICE = Path(__file__).parent / "babi"
STORY = "1 Mary took the apple.\n2 John's dog slept.\n3 Where is Mary?\tHall\t1\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "qa1_some_train.txt"
    path.write_text(text)
    return path


def test_a_question_sees_the_statements_above_it_in_its_story(tmp_path):
    text = STORY + "4 Bob left.\n5 Who left?\tbob,john\t2 4\n1 Ann came.\n2 Who came?\tann\t1\n"
    mary, dog, bob = ("mary", "took", "the", "apple"), ("john's", "dog", "slept"), ("bob", "left")
    assert read(written(tmp_path, text)) == [
        Question((mary, dog), ("where", "is", "mary"), "hall", (0,)),
        Question((mary, dog, bob), ("who", "left"), "bob,john", (1, 2)),  # 4 is the third fact
        Question((("ann", "came"),), ("who", "came"), "ann", (0,)),
    ]


def test_supporting_lines_may_be_left_out(tmp_path):
    assert read(written(tmp_path, "1 A b.\n2 Where?\thall\n"))[0].support == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (STORY + "Mary left.\n", "4: got 'Mary left.', allowed: a number, a space and a sentence"),
        (STORY + "4\n", "4: got '4', allowed: a number"),
        (
            STORY + "6 Mary left.\n",
            "4: line 6 of a story follows line 3, allowed: 4, or 1 for a new story",
        ),
        (
            STORY + "4 Where is she?\n",
            "4: got 'Where is she?', allowed: a question, a tab, its answer",
        ),
        (STORY + "4 Where?\t\t1\n", "\\t1', allowed: a question, a tab, its answer, and"),
        (STORY + "4 \thall\t1\n", "\\t1', allowed: a question, a tab, its answer, and"),
        (STORY + "4 Where?\thall\t1\t2\n", "\\t2', allowed: a question, a tab, its answer, and"),
        (
            STORY + "4 Where?\thall\t3\n",
            "4: '3' as a supporting line, allowed: the number of an earlier statement",
        ),
        (STORY + "4 Where?\thall\tone\n", "4: 'one' as a supporting line"),
        ("1 Mary left.\n", "no question in 1 lines"),
        ("", "no question in 0 lines"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, text, said):
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=r"qa1_some_train\.txt") as caught:
        read(path)
    assert said in str(caught.value)


def test_a_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "qa1_x_train.txt"
    path.write_bytes(b"1 Mary \xff left.\n")
    with pytest.raises(ValueError, match="is not a text file in UTF-8"):
        read(path)
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        read(tmp_path / "nothing.txt")


def test_both_layouts_of_the_data_set_are_found(tmp_path):
    assert files(SLICE, 4) == (SLICE / "train" / "qa04.txt", SLICE / "test" / "qa04.txt")
    for name in ("qa1_some_train.txt", "qa1_some_test.txt", "qa11_other_train.txt"):
        (tmp_path / name).write_text(STORY)
    assert [path.name for path in files(tmp_path, 1)] == ["qa1_some_train.txt", "qa1_some_test.txt"]


def test_a_missing_or_doubled_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="has no train file of task 3, allowed: one file qa3_"):
        files(SLICE, 3)
    for name in ("qa1_some_train.txt", "qa1_other_train.txt"):
        (tmp_path / name).write_text(STORY)
    with pytest.raises(ValueError, match=r"has several .*qa1_other_train\.txt"):
        files(tmp_path, 1)
    with pytest.raises(ValueError, match=r"task\.number=21, allowed: 1 to 20"):
        files(SLICE, 21)
    with pytest.raises(ValueError, match="there is no folder"):
        files(tmp_path / "nowhere", 1)


def test_the_slice_reads_whole():
    for task in (1, 4, 8):
        for path in files(SLICE, task):
            asked = sum("\t" in line for line in path.read_text().splitlines())
            assert len(read(path)) == asked > 0
