"""Models of known state, of classes of few samples: right, or unknown with the reason."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tests.monitor.small import NAMES, SHOWN, SIZES, allowed, states


@pytest.mark.parametrize(
    ("convention", "n"),
    [
        *(("x0", n) for n in SIZES[:-1]),
        # Each further convention at one size, in turn; at both with `--slow`.
        *((c, (2, 8)[i % 2]) for i, c in enumerate(SHOWN[1:])),
        *(pytest.param(c, (8, 2)[i % 2], marks=pytest.mark.slow) for i, c in enumerate(SHOWN[1:])),
    ],
)
@pytest.mark.parametrize("model", NAMES)
def test_a_small_class_is_called_what_it_is_or_unknown(model, convention, n, tmp_path):
    said, why = states(model, n, convention, 0, tmp_path)
    assert set(said) <= allowed(model, n)
    for k in range(3):
        reasons = [text for text in why.split("; ") if text.startswith(f"{k}: ")]
        told = any("cannot tell" in text or "nothing to learn" in text for text in reasons)
        assert told == (said[k] == "unknown")


def test_two_samples_of_a_memorizer_are_never_called_harmless(tmp_path):
    """Whether chance lets two samples tell is seen in the data: in some draws they do."""
    said = [states("empirical", 2, "x0", seed, tmp_path / str(seed))[0] for seed in range(6)]
    assert {s for row in said for s in row} <= {"memorized", "unknown"}


def test_few_training_samples_among_many_held_out_ones_are_judged(tmp_path):
    for model, state in (("empirical", "memorized"), ("mixture", "learned")):
        said, _ = states(model, 2, "x0", 0, tmp_path / model, held=50)
        assert said == [state] * 3
