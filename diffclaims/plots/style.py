"""What all pictures share: matplotlib, frames, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffclaims.errors import DiffclaimsError, InvalidInput
from diffclaims.extras import need
from diffclaims.storage.files import write_atomic

#: One colour a class; tell them apart without seeing red and green.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


def _pyplot() -> Any:
    matplotlib = need("matplotlib", "plot", "pictures")
    matplotlib.rcParams["axes.spines.top"] = matplotlib.rcParams["axes.spines.right"] = False
    return need("matplotlib.pyplot", "plot", "pictures")


def _frame(ax: Any, size: tuple[float, float]) -> Any:
    if ax is not None:
        if not hasattr(ax, "get_figure"):
            raise InvalidInput.of("ax", ax, "be Axes of matplotlib", "leave it out for a new figure")
        return ax
    return _pyplot().subplots(figsize=size, layout="constrained")[1]


def save(figure: Any, path: Path, *, dpi: int = 150) -> None:
    """Write a figure, whole or not at all.

    Raises
    ------
    DiffclaimsError
        For a folder that cannot be written or a format that is not known.
    """
    try:
        write_atomic(path, lambda part: figure.savefig(part, dpi=dpi))
    except (OSError, ValueError) as error:
        raise DiffclaimsError(
            f"cannot draw to {path}: {error}; name a .png file in a folder of yours"
        ) from error
    finally:
        _pyplot().close(figure)
