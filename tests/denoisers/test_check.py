"""The questions of sanity: what is right in every convention passes, and each wrongness fails."""

from __future__ import annotations

import itertools

import pytest

torch = pytest.importorskip("torch")

from diffclaims import denoisers  # noqa: E402
from diffclaims.errors import InvalidInput  # noqa: E402
from tests.denoisers import planted  # noqa: E402
from tests.denoisers.planted import ABAR  # noqa: E402
from tests.denoisers.test_conventions import CONVENTIONS, EXACT  # noqa: E402

MIXTURE = planted.Mixture()
X, LABELS = MIXTURE.draw(200)
POINTS = EXACT["points"]


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("exact", EXACT)
def test_the_right_convention_passes(convention, exact):
    data = {"mixture": (X, LABELS), "points": (POINTS.points, POINTS.labels)}[exact]
    report = denoisers.check(CONVENTIONS[convention](EXACT[exact], lambda f: f), *data)
    assert report.ok, report
    assert all(a.passed for a in report.answers)


#: How each convention is written where it is found out, by its beginning.
WRITTEN = {
    "eps": "from_eps(f, ",
    "v": "from_v(f, ",
    "sample": "from_sample(f, ",
    "flow to 1": "from_flow(f, data_at=1)",
    "score": "from_score(f)",
    "x0": "from_x0(f)",
    "edm raw": "from_edm(f, raw=True, sigma_data=0.5)",
}
WRONG = {
    "from_eps": lambda f: denoisers.from_eps(f, ABAR),
    "from_flow": denoisers.from_flow,
    "from_x0": denoisers.from_x0,
}


@pytest.mark.parametrize(("truth", "adapter"), [*itertools.product(WRITTEN, WRONG)])
def test_a_wrong_convention_is_named(truth, adapter):
    network = []
    CONVENTIONS[truth](MIXTURE, lambda f: network.append(tolerant(f)) or f)
    report = denoisers.check(WRONG[adapter](network[0]), X, LABELS)
    if WRITTEN[truth].startswith(f"{adapter}("):
        assert report.ok
    else:
        assert not report.ok
        assert report.seems.startswith(WRITTEN[truth]), report


def tolerant(f):
    """A network that takes times of any kind and size, as those with an embedding of sines do."""

    def network(x, t, labels=None):
        try:
            return f(x, t, labels)
        except (AssertionError, IndexError):
            return f(x, t.long().clamp(0, 999), labels)

    return network


@pytest.mark.parametrize("convention", ["eps", "v", "edm raw", "flow to 1"])
def test_a_scale_that_is_given_and_should_not_be_is_named(convention):
    """Data that a loader has scaled already."""
    given = CONVENTIONS[convention](MIXTURE, lambda f: f)
    given.network.options = denoisers.Options(scale=2.0, offset=-1.0)
    twice = denoisers.Denoiser(given.network, given.formula, given.clock)
    report = denoisers.check(twice, X, LABELS)
    assert report.seems == "the same adapter with scale=1, offset=0", report
    (scale,) = [a for a in report.answers if a.question.startswith("the scale")]
    assert scale.passed is False


def test_an_untrained_network_is_neither_right_nor_another_convention():
    report = denoisers.check(denoisers.from_v(lambda x, t, y=None: torch.randn_like(x) * 3, ABAR), X, LABELS)
    assert not report.ok
    assert report.seems == ""


def test_a_network_that_is_deaf_to_the_level_fails():
    deaf = denoisers.from_x0(lambda x, s, y=None: MIXTURE(x, torch.full_like(s, 1.0), y))
    answers = {a.question: a.passed for a in denoisers.check(deaf, X, LABELS).answers}
    assert answers["at low noise the answer is the input"] is False


@pytest.mark.parametrize(
    ("network", "question"),
    [
        (lambda x, s, y=None: MIXTURE(x, s, y) + 1.0, "at high noise the answer is the mean"),
        (lambda x, s, y=None: MIXTURE(x, s, y) * 0.8, "at low noise the answer is the input"),
        (
            lambda x, s, y=None: torch.where(s[:, None] < 0.3, 0, MIXTURE(x, s, y)),
            "the error falls with the noise",
        ),
        (lambda x, s, y=None: MIXTURE(x, s), "the label matters"),
        (lambda x, s, y=None: MIXTURE(x, s, y) / (s[:, None] > 0.3), "it answers at every noise level"),
    ],
)
def test_each_question_can_fail(network, question):
    answers = {a.question: a for a in denoisers.check(denoisers.from_x0(network), X, LABELS).answers}
    assert answers[question].passed is False
    assert answers[question].fix


def test_what_cannot_be_asked_is_said():
    short = ABAR[:300]
    report = denoisers.check(denoisers.from_eps(planted.vp(MIXTURE, "eps"), short), X)
    found = {a.question: a for a in report.answers}
    assert report.ok
    assert "largest level is 1.2" in found["at high noise the answer is the mean"].found
    assert "no labels" in found["the label matters"].found


@pytest.mark.parametrize(
    ("x", "message"),
    [(X[:1], "at least two finite"), (torch.ones(4, 3), "all samples alike"), (X / 0, "finite")],
)
def test_data_that_are_none(x, message):
    with pytest.raises(InvalidInput, match=message):
        denoisers.check(denoisers.from_x0(MIXTURE), x)
