"""Subjects as columns of the grid: loaded, or why they cannot run here."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from diffclaims.api.case import Case
from diffclaims.api.claim import Claim
from diffclaims.api.subject import Subject, experiments_of, title_of
from diffclaims.errors import (
    BaselineError,
    DiffclaimsError,
    InvalidInput,
    NotMeasured,
    SubjectInvalid,
)
from diffclaims.subjects import registry
from diffclaims.subjects.contract import check_subject
from diffclaims.subjects.memo import Memo


class Column:
    """One subject as a column of the grid: loaded, or why it cannot run here.

    Parameters
    ----------
    name : str
        Name of the subject.
    title : str
        Head of the column.
    subject : Subject, optional
        None where it cannot run.
    reason : str
        Why it does not run.
    error : DiffclaimsError, optional
        Why it must not run: its files or its attributes are wrong. Unlike a reason, it fails the run.
    selected : bool
        Whether it was asked for.
    options : str
        What a command needs to get at it again.
    own : bool
        Whether it is one of this package's, whose baselines must not be missing.
    """

    def __init__(
        self,
        *,
        name: str,
        title: str = "",
        subject: Subject | None = None,
        reason: str = "",
        error: DiffclaimsError | None = None,
        selected: bool = True,
        options: str = "",
        own: bool = False,
    ) -> None:
        self.name = name
        self.title = title or name
        self.subject = Memo(subject) if subject is not None else None
        self.reason = reason
        self.error = error
        self.selected = selected
        self.options = options
        self.own = own
        self._checked = False

    @classmethod
    def of(cls, subject: Subject, *, options: str = "") -> Column:
        """Return the column of a subject that is at hand."""
        name = getattr(subject, "name", None)
        if not isinstance(name, str):
            raise SubjectInvalid(f"subject {subject!r} has no name; see diffclaims.api.subject.Subject")
        return cls(name=name, title=title_of(subject), subject=subject, options=options)

    def contract(self) -> None:
        """Check the subject's contract, once.

        Raises
        ------
        SubjectInvalid
            As `check_subject`, every time.
        BaselineError
            When its recordings cannot be read.
        """
        if self.error is None and not self._checked and self.subject is not None:
            self._checked = True
            try:
                check_subject(self.subject.subject)
            except DiffclaimsError as error:
                self.error = error
        if self.error is not None:
            raise type(self.error)(str(self.error))

    def cases(self, claim: Claim) -> tuple[Case, ...]:
        """Return the cases of a claim that this subject is asked; the canonical ones where unknown."""
        if self.subject is None or self.error is not None:
            return claim.cases
        return claim.cases_for(self.subject)


def columns(
    *,
    baselines_dir: Path | None,
    subjects: Sequence[str] = (),
    live: Sequence[str] = (),
    shipped: Path | None = None,
) -> tuple[Column, ...]:
    """Return a column for every registered subject, loading those that are wanted.

    Parameters
    ----------
    baselines_dir : path, optional
        Where recordings are looked for.
    subjects : sequence of str
        The only ones to run; all that can run here by default.
    live : sequence of str
        Subjects to measure even where that takes long.
    shipped : path, optional
        As `registered`.

    Raises
    ------
    InvalidInput
        For an unknown subject, or one that was named but cannot run here.
    """
    entries = registry.registered(baselines_dir, extra=[*subjects, *live], shipped=shipped)
    named = {registry.find(n, entries).name for n in subjects}
    alive = {registry.find(n, entries).name for n in live}
    found: dict[str, Column] = {}
    for entry in entries.values():
        options = f" --subject {shlex.quote(entry.name)}" if ":" in entry.name else ""
        if entry.name in alive:
            options = f" --live {shlex.quote(entry.name)}{options}"
        own = entry.target.startswith("diffclaims.subjects.") or bool(entry.recordings)
        column = Column(name=entry.name, title=entry.title, options=options, own=own)
        if named and entry.name not in named | alive:
            column.selected, column.reason = False, "not selected by --subject"
        else:
            try:
                subject = registry.load(entry, live=entry.name in alive)
                subject.tags  # noqa: B018 reads the recordings, so that damaged ones are told of here
                experiments_of(
                    subject
                )  # reads the settings of a live one, so that a wrong one is told of here
                column = Column.of(subject, options=options)
                column.own = own
            except NotMeasured as error:
                column.reason = str(error)
                if entry.name in named | alive:
                    raise InvalidInput.of(
                        "subject", entry.name, "be able to run here", f"it cannot: {error}"
                    ) from None
            except DiffclaimsError as error:
                if entry.name in named | alive and not isinstance(error, BaselineError):
                    raise
                column.error = error
        if column.name in found:
            raise InvalidInput.of(
                "name of a subject", column.name, "be different from the others", f"rename {entry.target}"
            )
        found[column.name] = column
    return tuple(found.values())
