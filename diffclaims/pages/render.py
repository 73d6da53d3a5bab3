"""From a template to a page, and from a page to a file: escaped, whole, and never over a file of somebody else."""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.util
from pathlib import Path
from typing import Any

from diffclaims._version import __version__
from diffclaims.errors import DiffclaimsError, InvalidInput
from diffclaims.extras import need
from diffclaims.storage.files import write_atomic
from diffclaims.terminal import printable

#: By this a page is known as one of ours.
GENERATOR = f'<meta name="generator" content="diffclaims {__version__}">'
_KNOWN = b'<meta name="generator" content="diffclaims '
#: Of a file that are looked at: the mark stands near the top.
_HEAD = 2048
#: Nothing is loaded or run; the style is the one whose hash this is, so that no other is applied.
_POLICY = "default-src 'none'; img-src data:; style-src '{}'; base-uri 'none'; form-action 'none'"


def render(template: str, **content: Any) -> str:
    """Return a page.

    Parameters
    ----------
    template : str
        Name of a file in ``templates``.
    **content
        What the template shows. Every text is escaped, and what cannot be printed is shown as an escape.

    Raises
    ------
    DiffclaimsError
        Without Jinja2.
    """
    environment = _environment()
    style = environment.loader.get_source(environment, "style.css")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    markup = need("markupsafe", "html", "pages").Markup
    page: str = environment.get_template(template).render(
        generator=markup(GENERATOR),
        policy=_POLICY.format(f"sha256-{digest}"),
        style=markup(style),
        version=__version__,
        **content,
    )
    return page


def can_render() -> bool:
    """Whether what pages are made with is installed."""
    return importlib.util.find_spec("jinja2") is not None


@functools.cache
def _environment() -> Any:
    jinja2 = need("jinja2", "html", "pages")
    return jinja2.Environment(
        loader=jinja2.PackageLoader("diffclaims.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _finalized(value: Any) -> Any:
    """Text without characters that a page may not hold, or that would show it in another order than it has."""
    plain = isinstance(value, str) and not hasattr(value, "__html__")
    return printable(value, keep="\n\t") if plain else value


def check_target(path: Path, *, overwrite: bool = False) -> None:
    """Refuse, before anything is computed, a place where no page can be written.

    Parameters
    ----------
    path : path
    overwrite : bool
        Whether a file that is none of our pages may be replaced.

    Raises
    ------
    InvalidInput
        For a folder, a folder that does not exist, or a file that is none of our pages.
    DiffclaimsError
        Without Jinja2.
    """
    _environment()
    if path.is_dir():
        raise InvalidInput.of("page", str(path), "be a file", "add a name to it, as in report.html")
    if not path.parent.is_dir():
        raise InvalidInput.of(
            "page", str(path), f"lie in a folder that exists ({path.parent} does not)", "create it"
        )
    if path.exists() and not overwrite and not _is_ours(path):
        raise InvalidInput.of(
            "page",
            str(path),
            "not be a file that diffclaims did not make",
            "use another name, or --overwrite",
        )


def write(path: Path, page: str, *, overwrite: bool = False) -> None:
    """Write a page, whole or not at all; parameters and errors as of `check_target`."""
    check_target(path, overwrite=overwrite)
    try:
        write_atomic(path, lambda part: part.write_text(page, encoding="utf-8"))
    except OSError as error:
        raise DiffclaimsError(f"cannot write {path}: {error}; name a file in a folder of yours") from error


def _is_ours(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise DiffclaimsError(f"cannot read {path}, which a page would replace: {error}") from error
    return not head or _KNOWN in head
