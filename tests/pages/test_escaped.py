"""No text of a user's data becomes an element, an attribute or a style, whatever it is."""

from __future__ import annotations

import functools
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from diffclaims.advice import page as advice_page
from diffclaims.monitor import page as monitor_page
from diffclaims.suite import page as claims_page
from diffclaims.terminal import printable
from tests.pages import made
from tests.pages.read import Page

pytest.importorskip("jinja2")
try:
    import html5lib
except ModuleNotFoundError:
    html5lib = None

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><b>",
    "</title><svg onload=alert(1)>",
    "' onmouseover='alert(1)",
    "--><!--",
    "]]>&lt;&#0;",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "\x00\x1b[31m\u202e\ud800\ufffe",
    "</dd></dl></main>",
)
#: Arrays of NumPy end a text at its last character that is not NUL; what is missing is told with "; " between.
WORD = (
    st.text(min_size=1, max_size=12)
    .map(lambda s: s.rstrip("\x00"))
    .filter(lambda s: s not in ("", "toy") and "; " not in s)
)
THREE = st.lists(st.one_of(st.sampled_from(HOSTILE), WORD), min_size=3, max_size=3, unique=True)


def of_monitor(names):
    with tempfile.TemporaryDirectory() as folder:
        return monitor_page.page(made.record(Path(folder) / "run", names, pictures=True))


def of_advice(names):
    return advice_page.page(made.advice(names))


def of_claims(names):
    return claims_page.page(made.report(names), f"{names[0]}.json")


PAGES = {"monitor": of_monitor, "advice": of_advice, "claims": of_claims}


@functools.cache
def harmless(kind):
    return Page(PAGES[kind](["a", "b", "c"])).shape


@pytest.mark.parametrize("kind", PAGES)
@given(names=THREE)
@example(names=list(HOSTILE[:3]))
@example(names=list(HOSTILE[3:6]))
@example(names=list(HOSTILE[6:9]))
@example(names=[*HOSTILE[9:11], "a"])
def test_a_page_has_the_elements_of_its_template_alone_and_is_html_to_the_letter(kind, names):
    text = PAGES[kind](names)
    found = Page(text)
    assert found.shape == harmless(kind)
    shown = "".join(found.texts)
    for name in names:
        assert printable(name, keep="\n\t") in shown
    assert not any(a.startswith("on") or a in ("style", "srcdoc") for _, attrs in found.tags for a in attrs)
    text.encode("utf-8")
    if html5lib is not None:
        html5lib.HTMLParser(strict=True).parse(text)


@pytest.mark.skipif(html5lib is None, reason="html5lib is not installed")
def test_the_parser_is_strict():
    with pytest.raises(html5lib.html5parser.ParseError):
        html5lib.HTMLParser(strict=True).parse("<!DOCTYPE html><title>x</title><p><b>x</p>")


@pytest.mark.parametrize("kind", PAGES)
def test_names_of_classes_stand_in_drawings_and_attributes(kind):
    """So that the tests above say something of these places too."""
    found = Page(PAGES[kind](HOSTILE[:3]))
    values = [v for _, attrs in found.tags for v in attrs.values() if v and "<script>alert(1)</script>" in v]
    assert bool(values) == (kind == "monitor")
    if kind == "monitor":
        assert any(a.get("alt") for a in found.all("img"))
        inside = re.findall(r"<svg.*?</svg>", PAGES[kind](HOSTILE[:3]), re.DOTALL)
        assert any("&lt;script&gt;alert(1)&lt;/script&gt;" in svg for svg in inside)
