"""What all pages have: nothing from elsewhere, no script, and words for those who do not see the drawings."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import subprocess
import sys
from importlib import resources

import pytest

from tests.pages.read import Page
from tests.pages.test_escaped import PAGES

pytest.importorskip("jinja2")


@pytest.fixture(params=PAGES, scope="module")
def page(request):
    return PAGES[request.param](("early", "late", "copied"))


def test_the_policy_forbids_scripts_and_any_style_but_ours(page):
    found = Page(page)
    (policy,) = (a for a in found.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(r.strip().split(" ", 1) for r in policy["content"].split(";"))
    assert rules["default-src"] == "'none'"
    assert "script-src" not in rules
    assert rules["img-src"] == "data:"
    digest = base64.b64encode(hashlib.sha256(found.style.encode()).digest()).decode()
    assert rules["style-src"] == f"'sha256-{digest}'"
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_nothing_is_loaded(page):
    found = Page(page)
    for tag, attrs in found.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form")
        for name in ("src", "href", "xlink:href", "action"):
            assert attrs.get(name, "#").startswith(("#", "data:image/png;base64,"))
    assert not re.search(r"@import|url\(", found.style)


def test_tables_and_drawings_have_words(page):
    found = Page(page)
    assert found.all("html") == [{"lang": "en"}]
    assert len(found.all("title")) >= 1
    assert all(a.get("alt") for a in found.all("img"))
    assert all(a.get("scope") in ("row", "col") for a in found.all("th"))
    assert len(found.all("caption")) == len(found.all("table")) > 0
    for svg in found.all("svg"):
        assert svg.get("aria-hidden") == "true" or (svg.get("role") == "img" and svg.get("aria-label"))
    heads = [int(t[1]) for t, _ in found.tags if re.fullmatch(r"h[1-6]", t)]
    assert heads[0] == 1
    assert heads.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(heads))
    ids = [a["id"] for _, a in found.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["aria-labelledby"] for a in found.all("section")} <= set(ids)


def test_every_column_with_a_meaning_says_it_twice(page):
    found = Page(page)
    titles = {a["title"] for a in found.all("th", scope="col") if a.get("title")}
    assert titles
    assert titles <= {" ".join(t.split()) for t in found.texts} | set(found.texts)


def _luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((_luminance(a), _luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_enough_in_light_and_dark():
    style = (resources.files("diffclaims.pages") / "templates" / "style.css").read_text()
    schemes = [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    ]
    assert len(schemes) == 3  # light, dark, print
    for colors in schemes:
        for text in ("ink", "faint", "good", "bad", "warn", "link"):
            for ground in ("paper", "wash"):
                assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground, colors)
        for drawn in ("first", "second", "ink"):
            for ground in ("paper", "window"):
                assert contrast(colors[drawn], colors[ground]) >= 3, (drawn, ground, colors)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert "prefers-color-scheme: dark" in style


CODE = """
import sys
sys.modules["jinja2"] = None
from diffclaims.cli import main
sys.exit(main(["report", ".", "--out", "page.html"]))
"""


def test_without_jinja_one_sentence_says_what_to_install(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stderr == (
        "diffclaims report: jinja2 is not installed, and is needed for pages; pip install 'diffclaims[html]'\n"
    )
    assert not (tmp_path / "page.html").exists()
