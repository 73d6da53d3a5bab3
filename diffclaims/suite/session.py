"""What one pytest run knows about claims, and what a claim's test gets."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from diffclaims.errors import ClaimFailed, DiffclaimsError

if TYPE_CHECKING:
    from diffclaims.api.case import Case
    from diffclaims.api.claim import Claim
    from diffclaims.suite.loading import Column
    from diffclaims.suite.runner import Row, Runner


MODES = ("check", "update", "off")
#: Name of the test property that carries a row from a worker to the controller.
PROPERTY = "diffclaims"
#: In place of a case's name, for the search of a claim's regime.
EXPLORED = "explored"
CLAIM_FILES = "diffclaims_claims_dir"
#: Values of `Row.status`, from the one that says least.
_WORSE = ("not run", "as expected", "expected failure", "inconclusive", "unexpected", "baseline", "invalid")


@dataclass
class Session:
    """What one pytest run knows about claims; empty, and cheap, until one is collected."""

    config: pytest.Config
    collected: dict[str, Claim] = field(default_factory=dict)
    #: Claim files that were collected, to know whether the whole suite was.
    files: set[Path] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    _rows: dict[tuple[str, str, str], dict[str, Row]] = field(default_factory=dict)
    #: Files of the claims that have rows: those that workers collected are known by them alone.
    _sources: dict[str, Path] = field(default_factory=dict)
    _of_workers: dict[str, Claim] = field(default_factory=dict)
    _columns: tuple[Column, ...] | None = None
    _runner: Runner | None = None
    _failures: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def rows(self) -> list[Row]:
        """What came out of each case and subject; where several workers ran it, the worst."""
        return [max(by.values(), key=lambda row: _WORSE.index(row.status)) for by in self._rows.values()]

    def add(self, row: Row, worker: str, file: Path) -> None:
        """Take in what one worker, or this process, found; a rerun replaces what it found before."""
        self._sources[row.claim] = file
        self._rows.setdefault((row.claim, row.case, row.subject), {})[worker] = row

    def option(self, name: str) -> Any:
        """Return the value of one of the plugin's options."""
        return self.config.getoption(f"diffclaims_{name}")

    @property
    def claims_dir(self) -> Path:
        """The project's own folder of claims, which may be absent; its baselines lie beside it."""
        named = str(self.config.getini(CLAIM_FILES))
        if named:
            base = self.config.inipath.parent if self.config.inipath else self.config.rootpath
            return (base / named).resolve()
        return self.config.rootpath / "claims"

    @property
    def baselines_dir(self) -> Path:
        """Folder of the project's own baselines, which may be absent."""
        from diffclaims.storage import paths as locate

        return locate.baselines_dir(self.claims_dir)

    @property
    def shipped(self) -> Path | None:
        """The package's claims, whose baselines and lists stand in for its own subjects; None in a checkout of it.

        There a baseline that was lost must be missed, whatever an older installation has.
        """
        from diffclaims.storage import paths as locate

        at_home = locate.checkout_claims_dir(self.claims_dir.parent) is not None
        return None if at_home else locate.claims_dir()

    @property
    def _shipped_baselines(self) -> Path | None:
        from diffclaims.storage import paths as locate

        return locate.baselines_dir(self.shipped) if self.shipped else None

    @property
    def columns(self) -> tuple[Column, ...]:
        """All subjects."""
        if self._columns is None:
            from diffclaims.suite.loading import columns

            self._columns = columns(
                baselines_dir=self.baselines_dir,
                shipped=self._shipped_baselines,
                subjects=self.option("subject"),
                live=self.option("live"),
            )
        return self._columns

    @property
    def runner(self) -> Runner:
        """What runs the cases."""
        if self._runner is None:
            from diffclaims.suite.runner import Runner

            self._runner = Runner(
                baselines_dir=self.baselines_dir,
                shipped=self._shipped_baselines,
                mode=self.option("baselines"),
                strict=self.option("strict_claims"),
                obtained=self.config.invocation_params.dir / ".diffclaims" / "obtained",
            )
        return self._runner

    def claims(self) -> list[Claim]:
        """All claims of the folder, whatever was selected, and those that were collected elsewhere.

        Of the package's folder where the project has none, and names none.
        """
        from diffclaims.api.claim import load_claims
        from diffclaims.storage import paths as locate

        own = self.config.getini(CLAIM_FILES) or locate.holds_claims(self.claims_dir)
        found = {c.id: c for c in load_claims(self.claims_dir if own else None)}
        found |= {k: c for k, c in self.collected.items() if k not in found}
        for name, file in self._sources.items():
            if name not in found:
                if name not in self._of_workers:
                    self._of_workers[name] = self._claim(name, file)
                found[name] = self._of_workers[name]
        return list(found.values())

    def _claim(self, name: str, file: Path) -> Claim:
        """A claim that only workers know; without its words and cases where its file cannot be imported here."""
        from diffclaims.api.claim import Claim, load_claim

        try:
            claim = load_claim(file)
            if claim.id == name:
                return claim
        except Exception as error:  # whatever a file of somebody else's does, its verdicts are shown
            self.notes.append(f"{file} was imported by the workers, and not here: {error!r}")
        return Claim(
            id=name,
            says="",
            source="",
            cases=(),
            measures=frozenset({"learning_curves"}),
            measure=lambda *_: {},
            judge=lambda *_: [],
        )

    def failures(self, column: Column) -> dict[str, str]:
        """Return the expected failures of a subject, by ``claim[case]``: the project's, or else the package's."""
        from diffclaims.suite.expected import expected_failures, list_of

        if column.name not in self._failures:
            folder = self.claims_dir
            if column.own and self.shipped and not list_of(folder, column.name).is_file():
                folder = self.shipped
            self._failures[column.name] = expected_failures(folder, column.name)
        return self._failures[column.name]

    def explores(self, claim: Claim, column: Column) -> bool:
        """Whether the regime of a claim is searched on a subject."""
        if not self.option("explore") or not claim.explorable or column.subject is None:
            return False
        tags = column.subject.tags
        return column.error is None and tags.gaussian and claim.measures <= tags.measures

    def validate(self) -> None:
        """Check the options before anything runs."""
        mode = self.option("baselines")
        if mode not in MODES:
            raise pytest.UsageError(f"--baselines={mode}: choose one of {', '.join(MODES)}")
        examples = str(self.option("examples"))
        if not examples.isdecimal() or int(examples) < 1:
            raise pytest.UsageError(f"--examples={examples}: give a whole number of 1 or more")
        ci = os.environ.get("CI", "").strip().lower()
        if mode == "update" and ci not in ("", "0", "false", "no"):
            raise pytest.UsageError(
                f"--baselines=update is refused where CI is set (CI={os.environ['CI']}): a person records "
                "baselines, and looks at what changed; unset CI to record them here"
            )
        try:
            if mode == "update":
                from diffclaims.storage import paths as locate

                fix = f"run in a project of yours, or set {CLAIM_FILES} to its folder of claims"
                locate.check_own(self.baselines_dir, fix)
            if self.option("claims_report"):
                from diffclaims.suite.report import paths_of

                paths_of(self.config.invocation_params.dir / self.option("claims_report"))
            if self.option("subject") or self.option("live"):
                _ = self.columns
        except DiffclaimsError as error:
            raise pytest.UsageError(str(error)) from None


@dataclass(frozen=True)
class Param:
    """One test: a claim, a case and a subject; `case` is None for a search of the claim's regime."""

    claim: Claim
    case: Case | None
    column: Column
    xfail: str = ""


class ClaimCase:
    """What a claim's test gets: one case on one subject, to be required."""

    def __init__(self, param: Param, session: Session, item: pytest.Item) -> None:
        self.claim = param.claim
        self.case = param.case
        self.column = param.column
        self._xfail = param.xfail
        self._session = session
        self._item = item

    def require(self) -> None:
        """Run the case and demand that it comes out as it should.

        Raises
        ------
        SubjectInvalid
            When the subject breaks its contract.
        BaselineError
            When the result is not what was recorded.
        ClaimFailed
            When the verdict is not the expected one.
        """
        __tracebackhide__ = True
        command = _command(self._item)
        row, error = self._run(command)
        row.expected_failure = self._xfail
        if self._xfail and isinstance(error, ClaimFailed):
            row.status = "expected failure"
        if self.case is None and error is None:
            print(row.reason)  # with the weakest case as code; shown by -s and -rP
        properties = self._item.user_properties  # which a rerun finds as the run before left them
        properties[:] = [p for p in properties if p[0] != PROPERTY] + [(PROPERTY, json.dumps(asdict(row)))]
        if error is not None:
            raise error
        if row.status == "not run":
            pytest.skip(row.reason)

    def _run(self, command: str) -> tuple[Row, DiffclaimsError | None]:
        session = self._session
        if self.case is not None:
            return session.runner.run(self.claim, self.case, self.column, command=command)
        folder = session.config.invocation_params.dir / ".diffclaims" / "explored"
        return session.runner.explore(
            self.claim, self.column, examples=int(session.option("examples")), folder=folder
        )


def _command(item: pytest.Item) -> str:
    """Return what runs this one test again, from where pytest was started."""
    from diffclaims.storage import paths as locate

    test = item.nodeid.partition("::")[2]
    if item.path.resolve().parent == locate.package_claims_dir():
        return f"pytest --pyargs {shlex.quote(f'diffclaims.claims.{item.path.stem}::{test}')}"
    path = os.path.relpath(item.path, item.config.invocation_params.dir)
    return f"pytest {shlex.quote(f'{path}::{test}')}"
