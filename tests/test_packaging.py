"""What is installed is what lies in the tree, and nothing lands outside the name ``memrl``."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from plug_ins import LEAKY, install

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINKED = ("agents", "configs", "envs")


def packages_in_the_tree() -> set[str]:
    inits = [*ROOT.glob("memrl/**/__init__.py")]
    for name in LINKED:
        inits += ROOT.glob(f"{name}/**/__init__.py")
    found = set()
    for init in inits:
        parts = init.relative_to(ROOT).parent.parts
        found.add(".".join(parts if parts[0] == "memrl" else ("memrl", *parts)))
    return found


def test_declared_packages_are_the_packages_in_the_tree():
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages_in_the_tree()


def test_every_folder_with_python_in_it_is_a_package():
    bare = {
        path.parent
        for root in ("memrl", *LINKED)
        for path in (ROOT / root).glob("**/*.py")
        if not (path.parent / "__init__.py").exists()
    }
    assert bare == set()


@pytest.mark.parametrize("name", LINKED)
def test_mapped_folders_are_linked_for_tools_that_run_no_import_hooks(name):
    link = ROOT / "memrl" / name
    assert link.is_symlink()
    assert os.readlink(link) == f"../{name}"
    assert PROJECT["tool"]["setuptools"]["package-dir"][f"memrl.{name}"] == name


@pytest.mark.parametrize("name", ["agents", "envs"])
def test_a_second_copy_under_a_bare_name_is_refused(name):
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert f"import this package as memrl.{name}" in done.stderr


@pytest.mark.slow
def test_python_started_in_the_folder_above_a_clone_finds_the_package(tmp_path):
    (tmp_path / "memrl").symlink_to(ROOT)
    done = subprocess.run(
        [sys.executable, "-c", "import memrl, memrl.envs; print(memrl.__version__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == PROJECT["project"]["version"], done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the tracked files: a build leaves folders behind."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        source, target = ROOT / name, tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(os.readlink(source))
        elif source.exists():
            target.write_bytes(source.read_bytes())
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", build, out],
        cwd=tree, capture_output=True, check=True,
    )  # fmt: skip
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_only_memrl(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    strange = [n for n in names if not n.startswith("memrl/") and ".dist-info/" not in n]
    assert strange == []
    assert "memrl/py.typed" in names
    assert len(names) == len(set(names))


def test_the_wheel_holds_every_module_config_and_part_of_the_page(wheel):
    kinds = (".py", ".yaml", ".html", ".css", ".js")
    with zipfile.ZipFile(wheel) as archive:
        packed = {n for n in archive.namelist() if n.endswith(kinds)}
    here = {
        path.relative_to(ROOT).as_posix().removeprefix("memrl/")
        for root in ("memrl", *LINKED)
        for pattern in (f"**/*{kind}" for kind in kinds)
        for path in (ROOT / root).glob(pattern)
        if root != "memrl" or path.relative_to(ROOT / "memrl").parts[0] not in LINKED
    }
    assert packed == {f"memrl/{name}" for name in here}


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory) -> Path:
    """A folder of Python's path that holds the unpacked wheel, as an installation does."""
    path = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(path)
    return path


def in_folder(folder: Path, site: Path, script: str, *arguments: object) -> str:
    """What a script prints that runs in a folder and finds the wheel alone."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# Commands one after the other in one process, each as the console script would call it.
COMMANDS = """
import sys
sys.path.remove("")  # as a console script does not search the current folder

def memrl(line, code=0):
    from memrl.cli.main import main
    sys.argv = ["memrl", *line.split()]
    try:
        main()
    except SystemExit as exit_:
        assert exit_.code == code, (line, exit_.code)
"""
AT_HOME = """
SMALL = "+run=smoke threads=1 total_steps=256 evaluate.episodes=4 track=off"
memrl(f"train {SMALL} memory=leaky:Leaky memory.decay=0.8 run.dir=one")
memrl(f"train -m {SMALL} memory=leaky:Leaky memory.decay=0.8,0.9 run.dir=sweep")
memrl("train --resume one total_steps=512")
memrl("evaluate one episodes=4")
memrl("watch one")
memrl("export one to=one.pt2")
memrl(f"train {SMALL} memory=trickle run.dir=offered")

from leaky import Leaky
from memrl.agents.sb3 import MemoryPPO

for name, memory in (("class", Leaky), ("word", "leaky:Leaky")):
    sizes = {"n_steps": 8, "batch_size": 8, "n_epochs": 1}
    model = MemoryPPO("MlpPolicy", "CartPole-v1", policy_kwargs={"memory": memory}, **sizes)
    model.learn(8)
    model.save(name)
    assert type(MemoryPPO.load(name).policy.net.core) is Leaky
"""
ELSEWHERE = """
home = sys.argv[1]
memrl(f"evaluate {home}/one episodes=4", code=1)
memrl(f"evaluate {home}/offered episodes=4")

from memrl.agents.sb3 import MemoryPPO

for name in ("class", "word"):
    try:
        MemoryPPO.load(f"{home}/{name}")
    except ValueError as error:
        print(error)
assert "leaky" not in sys.modules
memrl(f"evaluate {home}/one episodes=4 --plugin leaky")
for name in ("class", "word"):
    MemoryPPO.load(f"{home}/{name}", plugins=["leaky"])
"""


@pytest.mark.slow
def test_a_memory_of_ones_own_beside_the_wheel_does_all_that_a_built_in_one_does(site, tmp_path):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    (home / "leaky.py").write_text(LEAKY)
    install(site, "memrl-drops", "[memrl.memories]\ntrickle = drops:Leaky\n", drops=LEAKY)
    in_folder(home, site, COMMANDS + AT_HOME)
    made = {path.name for path in home.iterdir()}
    assert made >= {"one", "sweep", "offered", "one.pt2", "class.zip", "word.zip"}
    assert sorted(path.name for path in (home / "sweep").glob("[!.]*")) == [
        "probe-Recall-v0-leaky-Leaky-seed1", "probe-Recall-v0-leaky-Leaky-seed1-2",
    ]  # fmt: skip
    said = in_folder(elsewhere, site, COMMANDS + ELSEWHERE, home)
    how = f"load it with plugins=['leaky'], or import leaky first (it was in {home})"
    assert said.count(how) == 2


@pytest.mark.slow
def test_the_unpacked_wheel_trains_from_another_folder(site, tmp_path):
    script = (
        "import memrl, sys; "
        "assert memrl.__file__.startswith(sys.argv[1]), memrl.__file__; "
        "from memrl.cli.main import main; "
        "sys.argv = ['memrl', 'train', '+run=smoke', 'run.dir=here']; main()"
    )
    in_folder(tmp_path, site, script, site)
    assert (tmp_path / "here" / "summary.json").is_file()
