"""Where the claims and the baselines are: in the checkout, or inside the installed package.

In both places the baselines lie beside the claims: ``claims/`` and ``baselines/`` at the top of a
checkout, ``diffclaims/claims/`` and ``diffclaims/baselines/`` in an installed package.
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


def claims_dir(root: Path | None = None) -> Path:
    """Return the folder of the claim files.

    Parameters
    ----------
    root : path, optional
        Where the run takes place. When that is a checkout of this project, its claims are meant even
        if the package that runs them is installed elsewhere.

    Raises
    ------
    InvalidInput
        When neither the package nor a checkout around it has claims.
    """
    if root is not None and (found := checkout_claims_dir(root.resolve())) is not None:
        return found
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
