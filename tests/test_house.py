"""The house as a whole: its door, its words, its documents."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

import bayes_cmvt as bc
from bayes_cmvt import cli
from bayes_cmvt.study import shipped_studies

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bayes_cmvt"
COMMANDS = [command.callback.__name__ for command in cli.app.registered_commands]


def test_door_is_sorted_and_every_name_opens() -> None:
    assert bc.__all__ == sorted(bc.__all__)
    for name in bc.__all__:
        opened = getattr(bc, name)
        home = getattr(opened, "__module__", opened.__name__)
        assert home.startswith("bayes_cmvt."), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bc.nothing


def test_door_and_its_types_name_the_same_rooms() -> None:
    source = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    typed = {
        name: room
        for room, name in re.findall(r"from bayes_cmvt\.([\w.]+) import \(?\s*\w+ as (\w+)", source)
    }
    assert typed == bc._ROOMS


def test_no_exported_function_has_the_name_of_a_module() -> None:
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    assert not modules & set(bc.__all__)


def test_every_public_definition_has_a_docstring() -> None:
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), path.name
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_no_function_reaches_for_global_state() -> None:
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Global)], path.name
        below_the_command_line = path.name not in {"cli.py", "console.py"}
        assert not (below_the_command_line and "os.environ" in path.read_text()), path.name


def test_every_command_is_in_the_readme_and_in_the_help() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = CliRunner().invoke(cli.app, ["--help"]).stdout
    assert COMMANDS
    for command in COMMANDS:
        assert f"bayes-cmvt {command}" in readme, command
        assert command in shown


def test_readme_names_the_two_commands_that_do_everything() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make sample" in readme
    assert "make test" in readme


def test_architecture_names_every_module() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for path in PACKAGE.rglob("*.py"):
        assert f"`{path.name}`" in text, path.name


def test_shipped_studies_are_the_files_of_models() -> None:
    assert set(shipped_studies()) == {path.stem for path in (ROOT / "models").glob("*.toml")}
    for name in shipped_studies():
        assert bc.load_study(name).name == name


def test_models_ship_inside_the_wheel() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"models": "bayes_cmvt/models"}


def test_constraints_pin_every_dependency() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pinned = {
        line.split("==")[0].lower()
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    }
    wanted = settings["project"]["dependencies"] + settings["dependency-groups"]["test"]
    for requirement in wanted:
        assert re.split(r"[<>=]", requirement)[0].lower() in pinned, requirement
