"""The words of the grid are explained, in the terminal and on the page, from one source."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import diffclaims
from diffclaims import cli
from diffclaims.advice.show import shown
from diffclaims.api.claim import load_claims
from diffclaims.api.outcome import Outcome
from diffclaims.monitor.states import STATES, UNKNOWN
from diffclaims.suite.words import ALSO, WORDS, glossary

PAGE = Path(__file__).parents[1] / "docs" / "glossary.md"


def test_the_page_is_the_glossary():
    assert PAGE.read_text(encoding="utf-8") == glossary(), "diffclaims explain --markdown > docs/glossary.md"


def test_every_outcome_is_explained():
    assert {str(o) for o in Outcome} | {"invalid", "margin", "control", "missing", "differs"} | {
        "controls",
        "cases",
        "explored",
        "counterexample",
        "weakest",
    } <= set(WORDS)


def test_words_of_advise_and_of_the_monitor_are_explained(capsys):
    rng = np.random.default_rng(0)
    advice = diffclaims.advise(rng.normal(size=(40, 3)), np.arange(40) % 2, resamples=0, weights_search=False)
    heads = re.findall(
        r"\w[\w.]*(?: [\w.]+)*", " ".join(re.findall(r"^ +class .*$", shown(advice, 100), re.MULTILINE))
    )
    assert {"eff. dim.", "coverage", "learned", "memorized"} <= set(heads)
    for word in [*STATES, UNKNOWN, *(set(heads) - {"samples", "at", "by coverage", "class"})]:
        assert cli.main(["explain", *word.split()]) == 0, word
    assert {"d", "n", "p"} <= set(WORDS)  # which psi_n and psi_p are made of
    assert set(ALSO.values()) <= set(WORDS)
    assert not set(ALSO) & set(WORDS)


@pytest.mark.parametrize("word", ["wiener", "backward diffusion", "speciate", "sigma", "power", "denoiser"])
def test_a_word_of_the_pages_is_explained(word, capsys):
    assert cli.main(["explain", word]) == 0
    assert word in capsys.readouterr().out.lower()


@pytest.mark.parametrize("word", ["holds", "HOLDS", "tau_gen", "u-turn"])
def test_a_word_is_explained(word, capsys):
    assert cli.main(["explain", word]) == 0
    assert word.lower() in capsys.readouterr().out.lower()


def test_words_of_two_words_need_no_quotes(capsys):
    assert cli.main(["explain", "not", "run"]) == 0
    assert "Nothing was measured" in capsys.readouterr().out


@pytest.mark.parametrize("claim", [c.id for c in load_claims()])
def test_a_claim_is_explained(claim, capsys):
    assert cli.main(["explain", claim]) == 0
    assert "regime:" in capsys.readouterr().out


def test_all_words_are_listed(capsys):
    assert cli.main(["explain"]) == 0
    out = capsys.readouterr().out
    assert all(f"{name}:" in out for name in WORDS)


def test_an_unknown_word_has_neighbours(capsys):
    assert cli.main(["explain", "hold"]) == 2
    assert "did you mean 'holds'" in capsys.readouterr().err
