"""The pytest plugin: options, one test per claim, case and subject, the grid and the report files.

It is loaded in every pytest run of an environment that has the package, so nothing heavy may be
imported here before a claim is collected: numpy, xarray and rich come inside functions.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from diffclaims.errors import BaselineError, ClaimFailed, DiffclaimsError, InvalidInput, SubjectInvalid

if TYPE_CHECKING:
    from diffclaims.api.case import Case
    from diffclaims.api.claim import Claim
    from diffclaims.suite.runner import Column, Row, Runner

MODES = ("check", "update", "off")
#: Name of the test property that carries a row from a worker to the controller.
PROPERTY = "diffclaims"
#: In place of a case's name, for the search of a claim's regime.
EXPLORED = "explored"
_CLAIM_FILES = "diffclaims_claims_dir"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; each also has a long form, in case another plugin has taken the short one."""
    group = parser.getgroup("diffclaims", "claims about how classes are learned")

    def add(name: str, **attributes: Any) -> None:
        dest = f"diffclaims_{name.replace('-', '_')}"
        try:
            group.addoption(f"--{name}", f"--diffclaims-{name}", dest=dest, **attributes)
        except ValueError:
            group.addoption(f"--diffclaims-{name}", dest=dest, **attributes)

    add(
        "subject",
        action="append",
        default=[],
        metavar="NAME",
        help="Check the claims on this subject only: a registered name or package.module:OBJECT; repeatable "
        "(default: all that can run here).",
    )
    add(
        "live",
        action="append",
        default=[],
        metavar="NAME",
        help="Measure this subject even where that takes long, in place of its recordings; repeatable.",
    )
    add(
        "baselines",
        default="check",
        metavar="{check,update,off}",
        help="Compare with the recorded results (default), record them again, or do neither.",
    )
    add(
        "claims-report",
        metavar="PATH",
        help="Write all verdicts to PATH.json and PATH.nc.",
    )
    add(
        "strict-claims",
        action="store_true",
        default=False,
        help="An inconclusive verdict fails.",
    )
    add(
        "list-claims",
        action="store_true",
        default=False,
        help="List the claims, their cases and the subjects, and stop.",
    )
    add(
        "explore",
        action="store_true",
        default=False,
        help="Also search the regime of each claim for its weakest margin and for counterexamples.",
    )
    add(
        "examples",
        default="50",
        metavar="N",
        help="Cases that --explore tries for each claim and subject (default: 50).",
    )
    parser.addini(_CLAIM_FILES, "Folder of the claim files; the baselines lie beside it.", default="")


@dataclass
class Session:
    """What one pytest run knows about claims; empty, and cheap, until one is collected."""

    config: pytest.Config
    rows: list[Row] = field(default_factory=list)
    collected: dict[str, Claim] = field(default_factory=dict)
    #: Claim files that were collected, to know whether the whole suite was.
    files: set[Path] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    _columns: tuple[Column, ...] | None = None
    _runner: Runner | None = None
    _failures: dict[str, dict[str, str]] = field(default_factory=dict)

    def option(self, name: str) -> Any:
        """Return the value of one of the plugin's options."""
        return self.config.getoption(f"diffclaims_{name}")

    @property
    def claims_dir(self) -> Path:
        """Folder of the claim files of this run."""
        from diffclaims.storage import paths as locate

        named = str(self.config.getini(_CLAIM_FILES))
        if named:
            base = self.config.inipath.parent if self.config.inipath else self.config.rootpath
            return (base / named).resolve()
        return locate.claims_dir(self.config.rootpath)

    @property
    def columns(self) -> tuple[Column, ...]:
        """All subjects."""
        if self._columns is None:
            from diffclaims.storage import paths as locate
            from diffclaims.suite.runner import columns

            self._columns = columns(
                baselines_dir=locate.baselines_dir(self.claims_dir),
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
                claims_dir=self.claims_dir,
                mode=self.option("baselines"),
                strict=self.option("strict_claims"),
                obtained=self.config.invocation_params.dir / ".diffclaims" / "obtained",
            )
        return self._runner

    def claims(self) -> list[Claim]:
        """All claims of the folder, whatever was selected, and those that were collected elsewhere."""
        from diffclaims.api.claim import load_claims

        found = {c.id: c for c in load_claims(self.claims_dir)}
        return list((found | {k: c for k, c in self.collected.items() if k not in found}).values())

    def failures(self, column: Column) -> dict[str, str]:
        """Return the expected failures of a subject, by ``claim[case]``."""
        from diffclaims.suite.runner import expected_failures

        if column.name not in self._failures:
            self._failures[column.name] = expected_failures(self.claims_dir, column.name)
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
            if self.option("claims_report"):
                from diffclaims.suite.report import paths_of

                paths_of(self.config.invocation_params.dir / self.option("claims_report"))
            if self.option("subject") or self.option("live"):
                _ = self.columns
        except DiffclaimsError as error:
            raise pytest.UsageError(str(error)) from None


_SESSION = pytest.StashKey[Session]()


def pytest_configure(config: pytest.Config) -> None:
    """Check the options early."""
    config.addinivalue_line("markers", "claim(id): a check of the claim with this id")
    session = config.stash[_SESSION] = Session(config)
    session.validate()


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Answer ``--list-claims``."""
    if not config.getoption("diffclaims_list_claims"):
        return None
    config._do_configure()
    try:
        _list(config.stash[_SESSION])
    except DiffclaimsError as error:
        raise pytest.UsageError(str(error)) from None
    finally:
        config._ensure_unconfigure()
    return 0


def _list(session: Session) -> None:
    write = session.config.get_terminal_writer().line
    for claim in session.claims():
        write(f"{claim.id}: {claim.says}")
        for case in claim.cases:
            write(f"    {case.name} ({case.role}): {case.note}".rstrip(": "))
    write("subjects:")
    for column in session.columns:
        write(f"    {column.title}" + (f": not run, {column.reason}" if column.reason else ""))


@dataclass(frozen=True)
class Param:
    """One test: a claim, a case and a subject; `case` is None for a search of the claim's regime."""

    claim: Claim
    case: Case | None
    column: Column
    xfail: str = ""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each case and subject, named ``claim-case-subject``."""
    if "claim_case" not in metafunc.fixturenames:
        return
    from diffclaims.api.claim import Claim

    session = metafunc.config.stash[_SESSION]
    claim = getattr(metafunc.module, "CLAIM", None)
    if not isinstance(claim, Claim):
        raise pytest.Collector.CollectError(
            f"{metafunc.module.__file__} uses claim_case, but has no CLAIM = Claim(...) at module level"
        )
    session.collected[claim.id] = claim
    session.files.add(Path(metafunc.module.__file__).resolve())
    params = []
    try:
        for column in session.columns:
            if not column.selected or (column.subject is None and column.error is None):
                continue
            reasons = session.failures(column)
            for case in column.cases(claim):
                why = reasons.get(f"{claim.id}[{case.name}]", "")
                # Only a claim that does not hold may be expected: anything else that goes wrong, a
                # missing baseline above all, must not hide behind it.
                marks = [pytest.mark.claim(claim.id)]
                if why:
                    marks.append(pytest.mark.xfail(reason=why, raises=ClaimFailed, strict=True))
                params.append(
                    pytest.param(
                        Param(claim, case, column, why),
                        id=f"{claim.id}-{case.name}-{column.name}",
                        marks=marks,
                    )
                )
            if session.explores(claim, column):
                params.append(
                    pytest.param(
                        Param(claim, None, column),
                        id=f"{claim.id}-{EXPLORED}-{column.name}",
                        marks=pytest.mark.claim(claim.id),
                    )
                )
    except DiffclaimsError as error:
        raise pytest.Collector.CollectError(str(error)) from None
    if not params:
        reason = "no subject that can run here has a case of it"
        params.append(pytest.param(None, id=f"{claim.id}-none", marks=pytest.mark.skip(reason=reason)))
    metafunc.parametrize("claim_case", params, indirect=True)


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
        self._item.user_properties.append((PROPERTY, json.dumps(asdict(row))))
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


@pytest.fixture
def claim_case(request: pytest.FixtureRequest) -> ClaimCase:
    """One case of the module's `CLAIM` on one subject."""
    return ClaimCase(request.param, request.config.stash[_SESSION], request.node)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the message of an error that explains itself, without the way to it."""
    report = yield
    if report.failed and call.excinfo is not None:
        expected = (ClaimFailed, BaselineError, SubjectInvalid, InvalidInput)
        if any(k == PROPERTY for k, _ in item.user_properties) and call.excinfo.errisinstance(expected):
            report.longrepr = call.excinfo.getrepr(style="value")
    return report


def _row_of(report: pytest.TestReport) -> Row | None:
    for key, value in report.user_properties:
        if key == PROPERTY:
            from diffclaims.suite.runner import Row

            return Row(**json.loads(str(value)))
    return None


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, Any] | None:
    """Mark an inconclusive verdict, which passes, as what it is."""
    if getattr(report, "when", "") == "call" and report.passed and report.user_properties:
        row = _row_of(report)
        if row is not None and row.status == "inconclusive":
            return "inconclusive", "?", ("INCONCLUSIVE", {"yellow": True})
    return None


class _Collector:
    """Collects the rows of a run, from this process or from its workers."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.user_properties:
            row = _row_of(report)
            if row is not None:
                self.session.rows.append(row)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start to collect rows, where the reports arrive."""
    if not hasattr(session.config, "workerinput"):
        ours = session.config.stash[_SESSION]
        session.config.pluginmanager.register(_Collector(ours), "diffclaims-rows")


def _filtered(config: pytest.Config) -> bool:
    return bool(config.option.keyword or config.option.markexpr or any("::" in a for a in config.args))


def _unknown(session: Session) -> list[str]:
    """Expected failures that name nothing, for the subjects of this run."""
    from diffclaims.suite.runner import unknown_failures

    claims = session.claims()
    return [
        f"{session.claims_dir}/expected_failures/{column.name}.txt: {key} names no claim and case"
        for column in session.columns
        if column.selected and column.subject is not None
        for key in unknown_failures(session.failures(column), claims, column)
    ]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse an expected failure that names nothing, when all claims were collected."""
    ours = session.config.stash[_SESSION]
    if not ours.collected or session.testsfailed or _filtered(session.config):
        return
    if hasattr(session.config, "workerinput"):
        return
    if ours.files >= {f.resolve() for f in ours.claims_dir.glob("test_*.py")}:
        problems = _unknown(ours)
        if problems:
            raise pytest.UsageError("\n".join(problems))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Do the same for a run on workers, whose controller collects nothing; write the report."""
    ours = session.config.stash[_SESSION]
    if hasattr(session.config, "workerinput") or not ours.rows:
        return
    try:
        on_workers = not ours.collected
        if (
            on_workers
            and not _filtered(session.config)
            and {r.claim for r in ours.rows} >= {c.id for c in ours.claims()}
        ):
            problems = _unknown(ours)
            if problems:
                ours.notes += problems
                session.exitstatus = pytest.ExitCode.USAGE_ERROR
        path = ours.option("claims_report")
        if path:
            from diffclaims.suite import grid, report

            rows = grid.complete(ours.claims(), ours.columns, ours.rows)
            written = report.write(rows, session.config.invocation_params.dir / path)
            ours.notes.append(f"verdicts written to {written[0]} and {written[1]}")
    except DiffclaimsError as error:
        ours.notes.append(f"error: {error}")
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the grid of all claims and all subjects, if any claim was collected."""
    ours = config.stash[_SESSION]
    if not (ours.rows or ours.collected) or config.option.collectonly:
        return
    from diffclaims.suite import grid

    writer = config.get_terminal_writer()
    terminalreporter.section("claims")
    try:
        claims, columns = _selected(ours)
        text = grid.render(claims, columns, ours.rows, width=writer.fullwidth, color=writer.hasmarkup)
    except DiffclaimsError as error:
        text = f"error: {error}"
    for line in text.splitlines():
        terminalreporter.write_line(line)
    for note in _notes(ours):
        for line in note.splitlines():
            terminalreporter.write_line(line)


def _selected(session: Session) -> tuple[list[Claim], list[Column]]:
    """The claims and subjects that this run is about; those that a selection left out are not shown."""
    claims = session.claims()
    columns = [c for c in session.columns if c.selected]
    asked = {r.claim for r in session.rows}
    if _filtered(session.config):
        claims = [c for c in claims if c.id in asked]
        columns = [c for c in columns if any(r.subject == c.name for r in session.rows)]
    else:
        claims = [c for c in claims if c.id in session.collected or c.id in asked]
    return claims, columns


def _notes(session: Session) -> Sequence[str]:
    changed = [r.baseline for r in session.rows if r.baseline.startswith("wrote ")]
    kept = sum(r.baseline.startswith("kept ") for r in session.rows)
    lines = sorted(changed)
    if changed or kept:
        lines.append(f"baselines: {len(changed)} files written, {kept} left as they were, none deleted")
    remarks = {
        r.baseline for r in session.rows if r.baseline not in ("same", "off", "differs", "missing", "")
    }
    lines += sorted(r for r in remarks if not r.startswith(("wrote ", "kept ")))
    lines += [r.reason.partition("\n\n")[0] for r in session.rows if r.case == EXPLORED and r.reason]
    return [*lines, *session.notes]
