"""The pytest plugin: options, one test per claim, case and subject, the grid and the report files.

It is loaded in every pytest run of an environment that has the package, so nothing heavy may be
imported here before a claim is collected: numpy, xarray and rich come inside functions.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from diffclaims.errors import BaselineError, ClaimFailed, DiffclaimsError, InvalidInput, SubjectInvalid

if TYPE_CHECKING:
    from diffclaims.api.claim import Claim
    from diffclaims.suite.loading import Column
    from diffclaims.suite.runner import Row
from diffclaims.suite.session import CLAIM_FILES, EXPLORED, PROPERTY, ClaimCase, Param, Session

_GROUP = ("diffclaims", "claims about how classes are learned")
#: Options by their short name.
OPTIONS: dict[str, dict[str, Any]] = {
    "subject": {
        "action": "append",
        "default": [],
        "metavar": "NAME",
        "help": "Check the claims on this subject only: a registered name or package.module:OBJECT; repeatable "
        "(default: all that can run here).",
    },
    "live": {
        "action": "append",
        "default": [],
        "metavar": "NAME",
        "help": "Measure this subject even where that takes long, in place of its recordings; repeatable.",
    },
    "baselines": {
        "default": "check",
        "metavar": "{check,update,off}",
        "help": "Compare with the recorded results (default), record them again, or do neither.",
    },
    "claims-report": {
        "metavar": "PATH",
        "help": "Write all verdicts to PATH.json, PATH.nc and, with the extra html, PATH.html.",
    },
    "strict-claims": {
        "action": "store_true",
        "default": False,
        "help": "An inconclusive verdict fails.",
    },
    "list-claims": {
        "action": "store_true",
        "default": False,
        "help": "List the claims, their cases and the subjects, and stop.",
    },
    "explore": {
        "action": "store_true",
        "default": False,
        "help": "Also search the regime of each claim for its weakest margin and for counterexamples.",
    },
    "examples": {
        "default": "50",
        "metavar": "N",
        "help": "Cases that --explore tries for each claim and subject (default: 50).",
    },
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options under names that nobody else takes."""
    group = parser.getgroup(*_GROUP)
    for name, attributes in OPTIONS.items():
        group.addoption(f"--diffclaims-{name}", dest=_dest(name), **attributes)
    parser.addini(CLAIM_FILES, "Folder of the claim files; the baselines lie beside it.", default="")


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(parser: pytest.Parser) -> Generator[None, object, object]:
    """Add the short names that are left when every plugin and conftest has added its own."""
    result = yield
    taken = {n for g in (parser._anonymous, *parser._groups) for o in g.options for n in o.names()}
    group = parser.getgroup(*_GROUP)
    for name, attributes in OPTIONS.items():
        if f"--{name}" not in taken:
            told = {**attributes, "help": f"Short for --diffclaims-{name}."}
            group.addoption(f"--{name}", dest=_dest(name), **told)
    return result


def _dest(name: str) -> str:
    return f"diffclaims_{name.replace('-', '_')}"


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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each case and subject, named ``claim-case-subject``."""
    if "claim_case" not in metafunc.fixturenames:
        return
    from diffclaims.api.claim import Claim

    session = metafunc.config.stash[_SESSION]
    if not _ours(metafunc):
        return
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


def _ours(metafunc: pytest.Metafunc) -> bool:
    """Whether `claim_case` is the fixture of this plugin, not one of the same name of somebody else."""
    marks = metafunc.definition.iter_markers("parametrize")
    if any("claim_case" in str(m.args[0] if m.args else m.kwargs.get("argnames")) for m in marks):
        return False
    found = metafunc.definition._fixtureinfo.name2fixturedefs.get("claim_case", ())
    return bool(found) and found[-1].func.__module__ == __name__


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
                file = self.session.config.rootpath / report.location[0]
                self.session.add(row, getattr(report, "worker_id", ""), file)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start to collect rows, where the reports arrive."""
    if not hasattr(session.config, "workerinput"):
        ours = session.config.stash[_SESSION]
        session.config.pluginmanager.register(_Collector(ours), "diffclaims-rows")


def _filtered(config: pytest.Config) -> bool:
    return bool(config.option.keyword or config.option.markexpr or any("::" in a for a in config.args))


def _unknown(session: Session) -> list[str]:
    """Expected failures that name nothing, in the project's lists for the subjects of this run."""
    from diffclaims.api.claim import load_claims
    from diffclaims.suite.expected import list_of, unknown_failures

    lists = [
        (column, file)
        for column in session.columns
        if column.selected and column.subject is not None
        if (file := list_of(session.claims_dir, column.name)).is_file()
    ]
    # A list may be about the package's claims, which a project runs by --pyargs.
    claims = [*session.claims(), *load_claims()] if lists else []
    return [
        f"{file}: {key} names no claim and case"
        for column, file in lists
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
            told = report.about(ours.claims(), ours.columns, _command(session.config))
            ours.notes.append(report.write(rows, session.config.invocation_params.dir / path, told))
    except DiffclaimsError as error:
        ours.notes.append(f"error: {error}")
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


def _command(config: pytest.Config) -> str:
    """What was run, as typed."""
    import shlex

    return shlex.join(["pytest", *map(str, config.invocation_params.args)])


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
