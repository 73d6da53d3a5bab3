"""Where the claims and the baselines are: in a project, in the checkout, or inside the installed package.

Everywhere the baselines lie beside the claims: ``claims/`` and ``baselines/`` at the top of a project or of a
checkout, ``diffclaims/claims/`` and ``diffclaims/baselines/`` in an installed package, which is only read.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from diffclaims.errors import BaselineError, InvalidInput

_PACKAGE = Path(__file__).resolve().parents[1]


def package_claims_dir() -> Path:
    """Where the claims of an installed package lie; absent in a checkout."""
    return _PACKAGE / "claims"


def checkout_claims_dir(root: Path) -> Path | None:
    """Return the claims of a checkout of this project at `root`, if it is one."""
    claims = root / "claims"
    return claims if (root / "diffclaims" / "_version.py").is_file() and claims.is_dir() else None


def holds_claims(folder: Path) -> bool:
    """Whether a folder holds claim files and no other tests: some project's ``claims/`` may be about insurance."""
    files = list(folder.glob("test_*.py"))
    return bool(files) and all("claim_case" in f.read_text(encoding="utf-8", errors="replace") for f in files)


def claims_dir() -> Path:
    """Return the folder of the package's own claim files.

    Raises
    ------
    InvalidInput
        When neither the package nor a checkout around it has claims.
    """
    installed = package_claims_dir()
    if installed.is_dir():
        return installed
    found = checkout_claims_dir(_PACKAGE.parent)
    if found is None:
        raise InvalidInput.of(
            "claims folder", str(installed), "exist", "reinstall the package, or name a folder of claims"
        )
    return found


def baselines_dir(claims: Path | None = None) -> Path:
    """Return the folder of the baselines that belong to a folder of claims; it may be absent."""
    return (claims if claims is not None else claims_dir()).resolve().parent / "baselines"


def check_own(folder: Path, fix: str) -> None:
    """Refuse to record into an installed package: nobody can commit that, and the next installation drops it.

    Raises
    ------
    BaselineError
        With `fix`: how to name a folder of one's own.
    """
    where = folder.resolve()
    installed = package_claims_dir().is_dir() and where.is_relative_to(_PACKAGE)
    if installed or not {"site-packages", "dist-packages"}.isdisjoint(where.parts):
        raise BaselineError(f"{where} lies in an installed package, which is only read; {fix}")


def to_record(*parts: str, given: Path | None, option: str = "--out") -> Path:
    """Return where a command records: the path that was given, or one among the package's own baselines.

    Raises
    ------
    BaselineError
        When that lies in an installed package; asked before anything is measured.
    """
    path = given or baselines_dir().joinpath(*parts)
    check_own(path, f"name another place by {option}")
    return path


def inside(path: Path, folder: Path) -> Path:
    """Return a path if it lies in a folder once all links are followed.

    Raises
    ------
    BaselineError
        If a link on the way leads out of the folder: what is compared would be another file than the one in version
        control, and an update would write there.
    """
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BaselineError(
            f"{path} leads out of {folder}, to {path.resolve()}: baselines lie in their folder; replace the link "
            "by what it points to"
        )
    return path


def sanitized(name: str) -> str:
    """Return a name as a file name, different for different names on any file system."""
    safe = re.sub(r"[^A-Za-z0-9._=+-]+", "_", name)
    # Names that had to be changed could now be equal, as could names that differ only in case.
    if safe == name and safe == safe.lower() and safe[0] not in ".-" and len(safe) <= 80:
        return safe
    return f"{safe[:60].lstrip('.-')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
