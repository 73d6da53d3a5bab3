"""A claim that no toy subject can answer."""

from diffclaims import Case, Claim, Effect
from statements.test_order import asks

CLAIM = Claim(
    id="spectrum",
    says="The spectrum explains the times.",
    source="an example",
    cases=(Case(name="pair", experiments=asks(2.0, 1.0)),),
    measures=frozenset({"spectrum"}),
    measure=lambda subject, case: {"pair": subject.spectrum(case.experiments["pair"])},
    judge=lambda case, data: [Effect(name="mass", value=float(data["pair"]["density"].sum()), accuracy=1e-6)],
)


def test_spectrum(claim_case):
    claim_case.require()
