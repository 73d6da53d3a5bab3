"""What the README shows is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from diffclaims.cli import COMMANDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMAND_PAGE = (ROOT / "docs" / "commands.md").read_text()


def test_options_of_pytest_are_in_its_help(help_of_pytest):
    shown = set(
        re.findall(r"--[a-z][a-z-]+", COMMAND_PAGE.split("## Options of")[1].split("## The command")[0])
    )
    missing = {flag for flag in shown if flag not in help_of_pytest}
    assert not missing


def test_commands_exist():
    shown = set(re.findall(r"`diffclaims ([a-z][a-z-]*)", COMMAND_PAGE))
    assert shown == set(COMMANDS)


def test_commands_name_the_extras_that_they_need():
    rows = re.findall(r"^\| `(?:diffclaims|python -m) ([\w.-]+).* \|(.*) \|$", COMMAND_PAGE, re.MULTILINE)
    named = {command: set(re.findall(r"`(\w+)`", extra)) for command, extra in rows}
    assert {command: extras for command, extras in named.items() if extras} == {
        "advise": {"advise", "html"},
        "denoiser": {"unet"},
        "diffclaims.unet": {"unet"},
        "map": {"map"},
        "plot": {"plot"},
        "report": {"html"},
        "trial": {"unet"},
        "trust": {"advise"},
    }
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras) - set().union(*named.values()) == {"test", "fast", "docs", "dev"}


def test_pictures_and_pages_exist():
    for path in re.findall(r"\((docs/[^)]+)\)|`(docs/[^`]+)`", README):
        assert (ROOT / (path[0] or path[1])).is_file(), path


def test_two_commands():
    block = README.split("<!-- commands -->")[1].split("<!-- end -->")[0]
    assert len([line for line in block.splitlines() if line.startswith("    ")]) == 2
