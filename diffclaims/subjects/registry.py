"""Names of subjects, and how to get at them without importing any before it is needed."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, cast

from diffclaims.errors import InvalidInput, NotMeasured, SubjectInvalid
from diffclaims.extras import object_of
from diffclaims.storage.files import finished

if TYPE_CHECKING:
    from diffclaims.api.subject import Subject

#: Entry points of other packages: ``name = "package.module:OBJECT"``.
GROUP = "diffclaims.subjects"
#: ``runs:FOLDER``: trainings that were watched.
RUNS = "runs:"
#: Folder of recordings, below the baselines of a subject.
RECORDED = "recorded"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One registered subject, not yet imported.

    Parameters
    ----------
    name : str
        As in ``--subject NAME``.
    target : str
        ``"module:object"``; empty where there are only recordings.
    needs : tuple of str
        Modules that a live run needs; looked for, not imported.
    live_only_on_request : bool
        Whether measuring takes long, so that recordings stand for it in a default run.
    recordings : tuple of Path
        Folders of its recordings, if there are any; what several hold is played from the first.
    campaign : str
        Name of the campaign of these recordings, for the title.
    watched : path, optional
        Where trainings lie that were watched with a monitor.
    """

    name: str
    target: str = ""
    needs: tuple[str, ...] = ()
    live_only_on_request: bool = False
    recordings: tuple[Path, ...] = ()
    campaign: str = ""
    watched: Path | None = None

    @property
    def title(self) -> str:
        """Head of the column before the subject is loaded."""
        if not self.recordings:
            return self.name
        name = self.name.removesuffix(f"-{self.campaign}")
        return f"{name} (recorded{f': {self.campaign}' if self.campaign else ''})"


_BUILT_IN = (
    Entry(name="theory", target="diffclaims.subjects.theory:SUBJECT"),
    Entry(name="finite", target="diffclaims.subjects.finite:SUBJECT", live_only_on_request=True),
    Entry(
        name="unet",
        target="diffclaims.subjects.unet:SUBJECT",
        needs=("torch",),
        live_only_on_request=True,
    ),
)


def registered(
    baselines: Path | None = None, extra: Sequence[str] = (), shipped: Path | None = None
) -> dict[str, Entry]:
    """Return every known subject by name, in the order of the grid's columns.

    Parameters
    ----------
    baselines : path, optional
        Folder of baselines, where recordings are looked for.
    extra : sequence of str
        Names from the command line; those of the form ``package.module:OBJECT`` or ``runs:FOLDER`` are added
        under that name.
    shipped : path, optional
        The package's baselines: their recordings are played where `baselines` has none of an experiment.

    Returns
    -------
    dict of str to Entry
        Built-in subjects, recorded campaigns, entry points of other packages, then `extra`.
    """
    entries: dict[str, Entry] = {}
    for entry in _BUILT_IN:
        entries[entry.name] = entry
        entries |= _recordings(entry, [b for b in dict.fromkeys((baselines, shipped)) if b is not None])
    for point in sorted(metadata.entry_points(group=GROUP), key=lambda p: p.name):
        entries.setdefault(point.name, Entry(name=point.name, target=point.value))
    for name in extra:
        if name.startswith(RUNS) and _is_folder(name):
            entries.setdefault(name, Entry(name=name, watched=Path(name.removeprefix(RUNS)).expanduser()))
        elif ":" in name:
            entries.setdefault(name, Entry(name=name, target=name))
    return entries


def _is_folder(name: str) -> bool:
    """Whether ``runs:SOMETHING`` names a folder, and not an object of a module of that name.

    Raises
    ------
    InvalidInput
        Where it could be both.
    """
    rest = name.removeprefix(RUNS)
    if not all(part.isidentifier() for part in rest.split(".")):
        return True
    module = importlib.util.find_spec(RUNS.rstrip(":"))
    # A folder `runs` without code can be imported as well, as a package of a namespace.
    is_object = module is not None and module.origin is not None
    if is_object and Path(rest).is_dir():
        limit = "name a folder, or an object of your module runs: both are there"
        raise InvalidInput.of("subject", name, limit, f"write {RUNS}./{rest} for the folder")
    return not is_object


def _recordings(entry: Entry, baselines: Sequence[Path]) -> dict[str, Entry]:
    """The entry with its recordings, and one entry more for each campaign of its own."""
    own: list[Path] = []
    campaigns: dict[str, list[Path]] = {}
    for folder in (b / entry.name / RECORDED for b in baselines):
        if not folder.is_dir():
            continue
        if finished(folder.glob("*.nc")):
            own.append(folder)
        for path in folder.iterdir():
            if path.is_dir() and finished(path.glob("*.nc")):
                campaigns.setdefault(path.name, []).append(path)
    found = {entry.name: replace(entry, recordings=tuple(own))} if own else {}
    for campaign, folders in sorted(campaigns.items()):
        name = f"{entry.name}-{campaign}"
        found[name] = Entry(name=name, recordings=tuple(folders), campaign=campaign)
    return found


def find(name: str, entries: dict[str, Entry]) -> Entry:
    """Return an entry by name.

    Raises
    ------
    InvalidInput
        For an unknown name, with the nearest ones and all that are available.
    """
    if name in entries:
        return entries[name]
    near = difflib.get_close_matches(name, entries, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise InvalidInput.of(
        "subject",
        name,
        "be a registered name, 'package.module:OBJECT' or 'runs:FOLDER'",
        f"{hint}Available: {', '.join(entries)}",
    )


def subject_of(
    name: str, baselines: Path | None = None, *, live: bool = False, shipped: Path | None = None
) -> Subject:
    """Return a subject by its registered name or as ``package.module:OBJECT``; as `registered`, `find` and `load`.

    Raises
    ------
    InvalidInput
        For an unknown subject, or one that cannot run here, with the reason.
    """
    try:
        return load(find(name, registered(baselines, [name], shipped)), live=live)
    except NotMeasured as error:
        raise InvalidInput.of("subject", name, "be able to run here", str(error)) from None


def load(entry: Entry, *, live: bool = False) -> Subject:
    """Import and return a subject.

    Parameters
    ----------
    entry : Entry
        From `registered`.
    live : bool
        Whether to measure even where that takes long; otherwise recordings stand for it.

    Raises
    ------
    NotMeasured
        When it cannot run here, with the reason: a module is missing, or it is measured only on
        request and was not recorded.
    InvalidInput
        When the target cannot be imported or has no such object.
    SubjectInvalid
        When what is there is no subject.
    """
    if entry.recordings and not (live and entry.target):
        from diffclaims.subjects.recorded import Recorded

        first, *others = entry.recordings
        return Recorded(entry.name, first, entry.campaign, others=others)
    if entry.watched is not None:
        from diffclaims.subjects.runs import Runs

        return Runs(entry.watched)
    if entry.live_only_on_request and not live:
        raise NotMeasured(f"nothing was recorded; measure it with --live {entry.name} (long)")
    for module in entry.needs:
        if importlib.util.find_spec(module) is None:
            raise NotMeasured(f"{module} is not installed; pip install 'diffclaims[{entry.name}]'")
    subject = _object(entry)
    for module in getattr(getattr(subject, "tags", None), "needs", ()):
        if importlib.util.find_spec(module) is None:
            raise NotMeasured(f"{module} is not installed")
    if subject.tags.slow and not live:
        raise NotMeasured(f"it takes long; measure it with --live {entry.name}")
    return subject


def _object(entry: Entry) -> Subject:
    built_in = any(entry.target == e.target for e in _BUILT_IN)
    try:
        found = object_of("subject", entry.target)
    except InvalidInput as error:
        missing = error.__cause__
        if (
            built_in
            and isinstance(missing, ModuleNotFoundError)
            and missing.name == entry.target.split(":")[0]
        ):
            raise NotMeasured("this version of diffclaims does not include it") from None
        raise
    if isinstance(found, type):
        raise SubjectInvalid(f"subject {entry.target!r} is a class; name an instance of it")
    for attribute in ("name", "tags"):
        if not hasattr(found, attribute):
            raise SubjectInvalid(f"subject {entry.target!r} has no attribute {attribute!r}")
    return cast("Subject", found)
