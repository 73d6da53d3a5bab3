"""The page on adding a definition: its example runs, and its table is that of the registry."""

from __future__ import annotations

import re
from pathlib import Path

from diffclaims.cli import main
from diffclaims.times.definitions import DEFINITIONS, table

PAGE = (Path(__file__).parents[1] / "docs" / "add-a-definition.md").read_text()


def test_the_example_runs():
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(compile(block, "add-a-definition.md", "exec"), {})


def test_the_table_is_the_registry():
    assert PAGE.split("<!-- definitions -->")[1].split("<!-- end -->")[0].strip() == table()


def test_the_command_lists_them(capsys):
    assert main(["definitions", "--list"]) == 0
    listed = capsys.readouterr().out
    assert main(["definitions"]) == 0
    assert capsys.readouterr().out == listed
    assert all(d.name in listed and d.sentence in listed for d in DEFINITIONS)
