"""Rooms of the package: imports run down, and there is no circle."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import diffclaims

PACKAGE = Path(diffclaims.__file__).parent

#: From the ground up: a room imports from rooms before it. What stands in one line may not import each other.
FLOORS = (
    ("_version", "errors"),
    ("extras", "terminal", "threads"),
    ("problem",),
    ("storage", "memorization", "denoisers"),
    ("pages",),
    ("times",),
    ("monitor",),
    ("theory", "finite", "unet", "runs"),
    ("api", "advice"),
    ("subjects",),
    ("suite",),
    ("plugin", "studies"),
    ("plots",),
    ("cli",),
)
#: The same inside `unet`, where a room is a folder.
UNET_FLOORS = (
    ("data",),
    ("config",),
    ("model",),
    ("measure",),
    ("train",),
    ("record", "results"),
    ("pilot",),
    ("cli",),
    ("__main__",),
)
#: Modules of a few lines that keep names which users know; they may point anywhere.
STAND_INS = {"__init__", "schema", "provenance", "returns", "maps"}


def imports(source: str) -> set[str]:
    """Every module of this package that a file names in an import, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "diffclaims":
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.split(".")[0] == "diffclaims"}
    return found


def wrong(files: dict[str, str], floors: tuple[tuple[str, ...], ...], prefix: str) -> list[str]:
    """Arrows between rooms that do not run down, as text.

    `files` maps a path below `prefix` to its source. Floors are ordered, so an arrow that runs down only
    rules out a circle of rooms as well.
    """
    level = {room: i for i, floor in enumerate(floors) for room in floor}
    found = []
    for path, source in files.items():
        room = path.split("/")[0].removesuffix(".py")
        if room in STAND_INS:
            continue
        if room not in level:
            found.append(f"{path}: the room {room!r} stands on no floor")
            continue
        for name in imports(source):
            if not name.startswith(f"{prefix}."):
                continue
            other = name.removeprefix(f"{prefix}.").split(".")[0]
            if other != room and other in level and level[other] >= level[room]:
                found.append(f"{path} imports {name}: {room} may not import {other}")
            elif other in STAND_INS - {"__init__"} and prefix == "diffclaims":
                found.append(f"{path} imports {name}, which stands in for another module")
    return found


def sources(folder: Path) -> dict[str, str]:
    files = (
        f for f in folder.rglob("*.py") if not {"claims", "baselines"} & set(f.relative_to(folder).parts)
    )
    return {f.relative_to(folder).as_posix(): f.read_text(encoding="utf-8") for f in files}


def test_imports_run_down():
    assert wrong(sources(PACKAGE), FLOORS, "diffclaims") == []


def test_imports_run_down_inside_unet():
    assert wrong(sources(PACKAGE / "unet"), UNET_FLOORS, "diffclaims.unet") == []


def test_no_circle_of_files():
    """Files of one room may import each other, yet not in a circle."""
    known = {
        p.removesuffix(".py").removesuffix("/__init__").replace("/", "."): s
        for p, s in sources(PACKAGE).items()
    }
    arrows: dict[str, set[str]] = {}
    for module, source in known.items():
        arrows[module] = set()
        for name in imports(source):
            short = name.removeprefix("diffclaims.")
            target = short if short in known else short.rpartition(".")[0]
            if target in known and target != module and not module.startswith(f"{target}."):
                arrows[module].add(target)
    # Files that nothing left to look at imports are taken away, until none is left: what stays is a circle.
    while free := [m for m, to in arrows.items() if not to & arrows.keys()]:
        for module in free:
            del arrows[module]
    assert sorted(arrows) == []


@pytest.mark.parametrize(
    "source",
    [
        "from diffclaims.suite import grid",
        "import diffclaims.plugin",
        "def f():\n    from diffclaims import suite",
    ],
)
def test_an_arrow_upwards_is_seen(source):
    assert wrong({"problem/mixture.py": source}, FLOORS, "diffclaims")


def test_a_room_without_a_floor_is_seen():
    assert wrong({"attic/box.py": ""}, FLOORS, "diffclaims")


@pytest.mark.parametrize("name", sorted(STAND_INS - {"__init__"}))
def test_old_names_stay(name):
    module = importlib.import_module(f"diffclaims.{name}")
    assert all(hasattr(module, one) for one in module.__all__)
