"""Where commands write: the suffix is the format, a folder takes it all, the rest is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from memrl.cli.arguments import file_to_write, parse
from memrl.cli.compare import compare_runs
from memrl.cli.export import export_run
from memrl.cli.runs import WatchOptions, files_of_watch, watch_run
from memrl.plots import style

RUN = Path("runs/a")


def files(*words, run=RUN):
    return files_of_watch(run, parse(WatchOptions, words))


def test_watch_writes_a_film_and_the_memory_beside_it(tmp_path):
    assert files("out=x.gif") == (Path("x.gif"), Path("x.png"))
    assert files(f"out={tmp_path}") == (tmp_path / "watch.gif", tmp_path / "watch.png")
    assert files(run=tmp_path) == (tmp_path / "watch.gif", tmp_path / "watch.png")
    film, picture = files(f"out={tmp_path}", "ablate=state")
    assert (film.name, picture.name) == ("watch-without-state.gif", "watch-without-state.png")


def test_watch_writes_no_film_where_a_png_is_asked_for():
    assert files("out=x.PNG") == (None, Path("x.PNG"))
    with pytest.raises(ValueError, match=r"window=true shows the GIF: out=x.png asks for the PNG"):
        files("out=x.png", "window=true")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: watch_run(RUN, ["out=x.jpg"]),
            r"out=x.jpg ends in '.jpg', allowed: .gif and",
        ),
        (lambda: watch_run(RUN, ["out=film"]), r"out=film ends in '', allowed: .gif and .png"),
        (
            lambda: compare_runs(["runs/a", "out=c.gif"], form="table"),
            r"out=c.gif ends in '.gif', allowed: .png, .pdf and .svg, or a folder",
        ),
        (
            lambda: export_run(RUN, ["to=x.bin"]),
            r"to=x.bin ends in '.bin', allowed: .onnx and",
        ),
    ],
)
def test_another_suffix_is_refused_before_the_run_is_even_looked_for(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_a_folder_is_written_into(tmp_path):
    assert file_to_write("out", tmp_path, suffixes=(".a", ".b"), name="c.a") == tmp_path / "c.a"


@pytest.mark.parametrize(
    ("name", "begin"), [("c.png", b"\x89PNG"), ("c.PDF", b"%PDF"), ("c.svg", b"<?xml")]
)
def test_a_picture_has_the_format_of_its_name(name, begin, tmp_path):
    style.save(style.new_figure(1.0, 1.0), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(begin)
    assert Path(name).suffix.lower() in style.FORMATS
