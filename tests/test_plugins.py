"""Modules from outside: what a person named is imported, what goes wrong is one sentence."""

from __future__ import annotations

import sys
from inspect import Parameter
from pathlib import Path
from typing import Any

import pytest
from own_folder import own_folder as folder
from plug_ins import CORRIDOR, forget, install

from memrl.config.choices import modules_of, refuse_unnamed
from memrl.errors import RunError
from memrl.options import check_options, options_of
from memrl.plugins import folder_of, import_plugin, own_line
from memrl.registry import NotNamedError, Registry

__all__ = ["folder"]  # a fixture


class Lamp:
    """What the menus of these tests hold."""

    def __init__(self, volts: int, *, watts: int = 5) -> None:
        self.volts, self.watts = volts, watts


LAMP = """
import sys
from test_plugins import Lamp
class Bulb(Lamp):
    def __init__(self, volts: int, *, watts: int = 7, hue: str = "warm") -> None:
        super().__init__(volts, watts=watts)
class Candle: ...
class Needy(Lamp):
    def __init__(self, volts: int, wick: int) -> None: ...
class Untyped(Lamp):
    def __init__(self, volts: int, *, long=3, wick=None) -> None: ...
def helper() -> None: ...
"""


@pytest.fixture
def lamps() -> Registry[Lamp]:
    return Registry("lamp", "lamps", Lamp, "memrl.test_lamps")


@pytest.fixture
def site(folder, monkeypatch) -> Path:
    """A folder of Python's path, where packages can be installed."""
    path = folder / "site"
    monkeypatch.syspath_prepend(str(path))
    return path


def test_a_named_module_of_the_current_folder_is_imported(folder):
    (folder / "my_lamp.py").write_text("volts = 3\n")
    assert import_plugin("my_lamp").volts == 3
    assert folder_of("my_lamp") == folder.resolve()


def test_the_path_ends_with_the_folder_and_is_otherwise_as_it_was(folder):
    before = list(sys.path)
    (folder / "my_lamp.py").write_text("")
    import_plugin("my_lamp")
    assert sys.path == [*before, str(folder)]


def test_a_module_may_change_the_path_itself(folder):
    (folder / "my_lamp.py").write_text("import sys; sys.path.append('/of/its/own')\n")
    import_plugin("my_lamp")
    assert "/of/its/own" in sys.path


def test_a_further_folder_is_searched_after_the_current_one(folder):
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "my_lamp.py").write_text(f"place = {name!r}\n")
    (folder / "my_lamp.py").write_text("place = 'here'\n")
    assert import_plugin("my_lamp", [folder / "one"]).place == "here"
    del sys.modules["my_lamp"]
    (folder / "my_lamp.py").unlink()
    assert import_plugin("my_lamp", [folder / "two", folder / "one"]).place == "two"


def test_a_module_of_a_package_is_imported(folder):
    (folder / "shop").mkdir()
    (folder / "shop" / "__init__.py").write_text("")
    (folder / "shop" / "bulbs.py").write_text("volts = 3\n")
    assert import_plugin("shop.bulbs").volts == 3
    assert folder_of("shop.bulbs") == folder.resolve()


def test_a_module_that_is_not_there_is_said_with_the_places_and_the_nearest(folder):
    (folder / "my_lamp.py").write_text("")
    with pytest.raises(ValueError, match="no module 'my_lamb'; did you mean my_lamp") as refused:
        import_plugin("my_lamb", ["/elsewhere"])
    assert str(refused.value).endswith(f"(searched: {folder}, /elsewhere and Python's path)")


def test_the_name_of_a_file_is_answered_with_the_module(folder):
    (folder / "my_lamp.py").write_text("")
    with pytest.raises(ValueError, match=r"no module 'my_lamp\.py'; did you mean my_lamp"):
        import_plugin("my_lamp.py")


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("\nvolts = 1 / 0\n", r"ZeroDivisionError: division by zero \(my_lamp\.py:2\)"),
        ("import not_there\n", r"ModuleNotFoundError: No module .*not_there.* \(my_lamp\.py:1\)"),
        ("\n\ndef f(:\n", r"SyntaxError: invalid syntax .*\(my_lamp\.py:3\)"),
        ("import sys; sys.exit(2)\n", r"SystemExit: 2 \(my_lamp\.py:1\)"),
        ("raise ValueError('x' * 999)\n", r"ValueError: x{200}… \(my_lamp\.py:1\)"),
    ],
)
def test_a_module_that_does_not_import_is_quoted_with_the_line(folder, text, own):
    (folder / "my_lamp.py").write_text(text)
    with pytest.raises(ValueError, match=f"^my_lamp does not import: {own}$"):
        import_plugin("my_lamp")
    assert "my_lamp" not in sys.modules


def test_an_error_within_python_has_the_line_that_called(folder):
    (folder / "my_lamp.py").write_text("import json\ndef f():\n    json.loads('{')\n")
    with pytest.raises(ValueError, match="Expecting") as raised:
        import_plugin("my_lamp").f()
    assert own_line(raised.value) == "my_lamp.py:3"


def test_a_word_that_a_person_wrote_is_imported_and_another_is_not(folder, lamps):
    (folder / "my_lamp.py").write_text(LAMP)
    with pytest.raises(NotNamedError, match=r"'my_lamp:Bulb' .*add --plugin my_lamp, or import"):
        lamps.find("my_lamp:Bulb")
    assert "my_lamp" not in sys.modules
    assert lamps.named("my_lamp:Bulb") is lamps.find("my_lamp:Bulb")
    assert lamps.build("my_lamp:Bulb", 3).watts == 7
    assert lamps.origin("my_lamp:Bulb") == "my_lamp"


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("my_lamp:Bulp", r"my_lamp has no lamp 'Bulp'; did you mean Bulb\? \(it has: Bulb, Needy"),
        ("my_lamp:Candle", "my_lamp:Candle is a class and no lamp: .* derives from Lamp"),
        ("my_lamp:helper", "my_lamp:helper is a function and no lamp: .* derives from Lamp"),
        ("my_lamp:sys", "my_lamp:sys is a module and no lamp"),
    ],
)
def test_what_is_no_such_class_is_said(folder, lamps, word, sentence):
    (folder / "my_lamp.py").write_text(LAMP)
    with pytest.raises(ValueError, match=sentence):
        lamps.named(word)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("Bulb", {"wats": 3}, r"lamp 'my_lamp:Bulb' has no option 'wats'; did you mean watts\?"),
        ("Bulb", {"watts": "3"}, r"lamp 'my_lamp:Bulb', option watts='3': .*valid integer"),
        ("Needy", {}, "lamp 'my_lamp:Needy' cannot be built: .*'wick'; options are keyword-only"),
        ("Untyped", {}, "options of the lamp 'my_lamp:Untyped': wick has no type, as in wick: int"),
    ],
)
def test_options_are_checked_as_for_built_in_classes(folder, lamps, name, options, sentence):
    (folder / "my_lamp.py").write_text(LAMP)
    lamps.named(f"my_lamp:{name}")
    with pytest.raises(ValueError, match=sentence):
        lamps.build(f"my_lamp:{name}", 3, options=options)


def test_an_option_without_annotation_is_of_its_defaults_type(folder, lamps):
    (folder / "my_lamp.py").write_text(LAMP.replace(", wick=None", ""))
    lamps.named("my_lamp:Untyped")
    with pytest.raises(ValueError, match=r"option long=3\.5: .*valid integer"):
        lamps.build("my_lamp:Untyped", 3, options={"long": 3.5})


def test_a_class_itself_has_a_word_that_leads_back_to_it(lamps):
    class Local(Lamp):
        pass

    word = lamps.word(Local)
    assert lamps.find(word) is Local
    assert lamps.word("as it is") == "as it is"
    not_one: Any = int
    with pytest.raises(ValueError, match="int is a class and no lamp"):
        lamps.word(not_one)


def test_a_package_offers_a_class_by_name_and_by_value(site, lamps):
    install(site, "lamp-shop", "[memrl.test_lamps]\nneon = neons:Neon\n",
            neons="from test_plugins import Lamp\nclass Neon(Lamp): ...\n")  # fmt: skip
    assert lamps.words() == ["neon"]
    assert "neons" not in sys.modules
    assert lamps.find("neon") is lamps.find("neons:Neon") is lamps.named("neon")
    assert lamps.origin("neon") == "lamp-shop 1.2"
    assert lamps.find("neon").__module__ == "neons"
    with pytest.raises(ValueError, match=r"unknown lamp 'neom'; did you mean neon\? \(known: neon"):
        lamps.find("neom")


def test_a_package_whose_class_does_not_import_is_named(site, lamps):
    install(site, "lamp-shop", "[memrl.test_lamps]\nneon = neons:Neon\n", neons="volts = 1 / 0\n")
    with pytest.raises(ValueError, match=r"'neon' of lamp-shop 1\.2 .*does not import: ZeroDiv"):
        lamps.find("neon")


def test_two_packages_with_one_name_are_both_named(site, lamps):
    text = "from test_plugins import Lamp\nclass Neon(Lamp): ...\n"
    for name in ("a", "b"):
        install(site, f"shop-{name}", f"[memrl.test_lamps]\nneon = {name}_neons:Neon\n",
                **{f"{name}_neons": text})  # fmt: skip
    two = r"a_neons:Neon of shop-a 1\.2 and b_neons:Neon of shop-b 1\.2"
    with pytest.raises(ValueError, match=f"called 'neon': {two}; write lamp=a_neons:Neon or lamp="):
        lamps.find("neon")
    assert lamps.words() == ["a_neons:Neon", "b_neons:Neon"]
    assert lamps.find("b_neons:Neon").__module__ == "b_neons"


def test_a_registered_class_and_another_of_a_package_are_both_named(site, lamps):
    install(site, "lamp-shop", "[memrl.test_lamps]\nneon = neons:Neon\n",
            neons="from test_plugins import Lamp\nclass Neon(Lamp): ...\n")  # fmt: skip
    lamps.register("neon")(Lamp)
    with pytest.raises(ValueError, match=r"'neon': .*:Lamp and neons:Neon of lamp-shop 1\.2"):
        lamps.find("neon")


def test_a_package_may_register_what_it_offers(site, lamps):
    install(site, "lamp-shop", "[memrl.test_lamps]\nneon = neons:Neon\n",
            neons="from test_plugins import Lamp\nclass Neon(Lamp): ...\n")  # fmt: skip
    lamps.register("neon")(lamps.find("neon"))
    assert lamps.words() == ["neon"]
    assert lamps.find("neon").__module__ == "neons"


def test_two_modules_that_register_one_name_are_both_named(lamps):
    lamps.register("bulb")(Lamp)
    other = type("Bulb", (Lamp,), {"__module__": "elsewhere"})
    with pytest.raises(ValueError, match=r"'bulb': .*:Lamp and elsewhere:Bulb"):
        lamps.register("bulb")(other)


def test_a_module_that_is_reloaded_or_run_as_a_script_may_register_again(lamps):
    for module in ("shop", "shop", "__main__"):
        again = type("Bulb", (Lamp,), {"__module__": module})
        lamps.register("bulb")(again)
    assert lamps.find("bulb") is again


def test_a_registered_environment_needs_the_module_of_its_class(folder):
    (folder / "corridor.py").write_text(CORRIDOR)
    import_plugin("corridor")
    config, menus = {"env": {"id": "Corridor-v0"}}, {"env.id": None}
    places = modules_of(config, menus)
    assert places == {"corridor": str(folder)}
    refuse_unnamed(config, menus, places, "the run")
    forget("corridor")
    with pytest.raises(RunError, match=r"^the run was made with env\.id=Corridor-v0: add --plugin"):
        refuse_unnamed(config, menus, places, "the run")


@pytest.mark.parametrize("id", ["CartPole-v1", "probe/Recall-v0", "MiniGrid-MemoryS13-v0"])
def test_an_environment_of_a_package_needs_no_module(id):
    config, menus = {"env": {"id": id}}, {"env.id": None}
    assert modules_of(config, menus) == {}
    refuse_unnamed(config, menus, {"leaky": "nowhere"}, "the run")


def test_an_option_without_a_default_is_asked_for_by_its_name():
    def needs(*, wick: int, hue: str = "warm") -> None: ...

    model = options_of(needs, Parameter.KEYWORD_ONLY)
    with pytest.raises(ValueError, match=r"^lamp 'oil' needs a value for its option wick$"):
        check_options("lamp 'oil'", model, {"hue": "cold"})
