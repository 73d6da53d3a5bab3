"""Lists of cases that are known to fail, each with the reason."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from diffclaims.api.claim import Claim
from diffclaims.errors import (
    InvalidInput,
)
from diffclaims.storage.paths import sanitized
from diffclaims.suite.loading import Column

#: One line of a list of expected failures.
_LINE = re.compile(r"(?P<claim>[^\[\]\s#]+)\[(?P<case>[^\[\]]+)\](?:\s+#\s*(?P<reason>\S.*))?")


def list_of(claims_dir: Path, subject: str) -> Path:
    """Return the file of the expected failures of a subject; it may be absent."""
    return claims_dir / "expected_failures" / f"{sanitized(subject)}.txt"


def expected_failures(claims_dir: Path, subject: str) -> dict[str, str]:
    """Read the list of expected failures of a subject.

    Parameters
    ----------
    claims_dir : path
        The folder of claims; the list is ``expected_failures/<subject>.txt`` in it.
    subject : str
        Name of the subject.

    Returns
    -------
    dict of str to str
        Reasons by ``claim[case]``; empty where there is no list.

    Raises
    ------
    InvalidInput
        For a line that is not ``claim[case]  # reason``, or an id that occurs twice.
    """
    path = list_of(claims_dir, subject)
    if not path.is_file():
        return {}
    reasons: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _LINE.fullmatch(text)
        where = f"line {number} of {path}"
        if match is None or not match["reason"]:
            raise InvalidInput.of(where, text, "have the form 'claim[case]  # reason'", "state the reason")
        key = f"{match['claim']}[{match['case']}]"
        if key in reasons:
            raise InvalidInput.of(where, key, "occur once", "remove one of the lines")
        reasons[key] = match["reason"]
    return reasons


def unknown_failures(reasons: Mapping[str, str], claims: Sequence[Claim], column: Column) -> list[str]:
    """Return the ids of a list of expected failures that name no claim and case of this subject."""
    known = {f"{claim.id}[{case.name}]" for claim in claims for case in column.cases(claim)}
    return [key for key in reasons if key not in known]
