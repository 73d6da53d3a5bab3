"""Draw the rooms of the package and the imports between them: ``python docs/rooms.py``."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot

ROOT = Path(__file__).parents[1]
# The floors that the tests hold the package to. `_version` is not drawn.
sys.path.insert(0, str(ROOT))
from tests.test_architecture import FLOORS as TESTED  # noqa: E402

FLOORS = [tuple(room for room in floor if not room.startswith("_")) for floor in TESTED]
PLACE = {
    room: (10 * (i + 1) / (len(floor) + 1), 1.5 * level)
    for level, floor in enumerate(FLOORS)
    for i, room in enumerate(floor)
}
# A little aside, so that arrows do not run through a room.
for aside, x in (
    ("cli", 2.0),
    ("api", 2.6),
    ("extras", 7.6),
    ("terminal", 6.2),
    ("threads", 3.4),
    ("denoisers", 8.4),
    ("monitor", 7.4),
    ("runs", 7.3),
    ("advice", 8.1),
    ("pages", 6.0),
):
    PLACE[aside] = (x, PLACE[aside][1])


def arrows() -> set[tuple[str, str]]:
    """Pairs of rooms of which the first imports the second."""
    found = set()
    for file in (ROOT / "diffclaims").rglob("*.py"):
        room = file.relative_to(ROOT / "diffclaims").parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("diffclaims"):
                for name in (f"{node.module}.{a.name}".split(".")[1] for a in node.names):
                    if room in PLACE and name in PLACE and name != room:
                        found.add((room, name))
    return found


def drawn(all_arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Leave out an arrow where a longer way says it already."""
    below = {room: {lower for upper, lower in all_arrows if upper == room} for room in PLACE}

    def reach(room: str) -> set[str]:
        return below[room].union(*(reach(lower) for lower in below[room]))

    return {(a, c) for a, c in all_arrows if not any(c in reach(b) for b in below[a] - {c})}


figure, ax = pyplot.subplots(figsize=(8.0, 9.0), layout="constrained")
for upper, lower in sorted(drawn(arrows())):
    (x0, y0), (x1, y1) = PLACE[upper], PLACE[lower]
    bend = 0.18 if y0 - y1 > 1.6 and abs(x0 - x1) < 1 else 0.0
    ax.annotate(
        "",
        (x1, y1 + 0.32),
        (x0, y0 - 0.32),
        arrowprops={
            "arrowstyle": "-|>",
            "color": "#7a8794",
            "lw": 0.8,
            "connectionstyle": f"arc3,rad={bend}",
        },
    )
for room, (x, y) in PLACE.items():
    box = {"boxstyle": "round,pad=0.5", "fc": "#eef3f8", "ec": "#35506b"}
    ax.text(x, y, room, ha="center", va="center", family="monospace", fontsize=12, bbox=box)
ax.set_xlim(1, 9)
ax.set_ylim(-0.8, 1.5 * len(FLOORS) - 0.7)
ax.axis("off")
figure.savefig(ROOT / "docs" / "img" / "rooms.png", dpi=110)
