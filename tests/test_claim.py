"""Claims, cases and where they are found."""

from __future__ import annotations

import pytest

from diffclaims.api.case import Case, Role
from diffclaims.api.claim import Claim, load_claims
from diffclaims.api.outcome import Effect, Outcome
from diffclaims.api.subject import Tags
from diffclaims.errors import InvalidInput, NotMeasured, SubjectInvalid
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.storage import paths as locate

EXPERIMENT = Experiment(
    mixture=GaussianMixture([0.5, 0.5], [2.0, 1.0]),
    model=RandomFeatures(psi_p=4.0, psi_n=2.0, diffusion_time=0.1),
)


def case(name="pair", **more):
    return Case(name=name, experiments={"pair": EXPERIMENT}, **more)


def claim(*cases, **more):
    settings = {
        "id": "order",
        "says": "s",
        "source": "s",
        "cases": cases or (case(),),
        "measures": {"learning_curves"},
        "measure": lambda subject, case: {},
        "judge": lambda case, data: [Effect(name="x", value=1.0)],
    }
    return Claim(**(settings | more))


class Asked:
    name = "asked"

    def __init__(self, listed=None, **tags):
        self.tags = Tags(exact=True, stochastic=False, measures={"learning_curves"}, model="none", **tags)
        self.listed = listed or {}

    def experiments(self):
        return self.listed


def test_what_is_expected_follows_from_the_role():
    assert case().expect == {Outcome.HOLDS}
    assert case(role=Role.CONTROL).expect == {Outcome.FAILS, Outcome.INCONCLUSIVE}
    assert len(case(role="outside").expect) == 3
    assert case(expect=frozenset({"fails"})).expect == {Outcome.FAILS}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: case("a b"), "name of a case = 'a b'"),
        (lambda: case("a=b"), "consist of letters"),
        (lambda: case(""), "name of a case"),
        (lambda: Case(name="a", experiments={}), "experiments"),
        (lambda: case(role=Role.CONTROL, expect=frozenset({Outcome.HOLDS})), "not 'holds' for a control"),
        (lambda: case(expect=frozenset({Outcome.NOT_RUN})), "expect"),
        (lambda: claim(id="two words"), "id of a claim"),
        (lambda: claim(case(), case()), "have different names"),
        (lambda: claim(measures=set()), "measures of order"),
        (lambda: claim(measures={"smell"}), "measures of order"),
    ],
)
def test_a_claim_that_makes_no_sense_is_refused(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()


def test_a_run():
    result = claim().run(Asked(), case())
    assert result.outcome is Outcome.HOLDS
    assert result.as_expected
    assert (result.claim_id, result.subject, result.reason) == ("order", "asked", "")


def refuse(subject, case):
    raise NotMeasured("no")


def broken(subject, case):
    raise SubjectInvalid("broken")


@pytest.mark.parametrize(
    ("one", "subject", "reason"),
    [
        (claim(measure=refuse), Asked(), "no"),
        (claim(measures={"spectrum"}), Asked(), "it does not measure spectrum"),
        (claim(), Asked(max_classes=1), "it takes at most 1 classes, the case has 2"),
    ],
)
def test_what_cannot_be_measured_is_not_run(one, subject, reason):
    result = one.run(subject, case())
    assert result.outcome is Outcome.NOT_RUN
    assert result.reason == reason
    assert result.as_expected


def test_an_invalid_subject_is_no_verdict():
    with pytest.raises(SubjectInvalid, match="broken"):
        claim(measure=broken).run(Asked(), case())


def test_cases_of_a_subject_on_real_data_are_selected():
    real, listed = EXPERIMENT.replace(data="images"), {}
    chosen = claim(select=lambda found: [Case(name=n, experiments={"pair": e}) for n, e in found.items()])
    listed = {"real": real, "theirs": EXPERIMENT}
    assert [c.name for c in chosen.cases_for(Asked(listed, gaussian=False))] == ["real"]
    assert [c.name for c in chosen.cases_for(Asked(listed))] == ["pair", "real"]
    assert chosen.cases_for(Asked(gaussian=False)) == ()
    assert [c.name for c in claim().cases_for(Asked(listed))] == ["pair"]


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)


TEXT = """
from diffclaims import Case, Claim, Experiment, GaussianMixture, RandomFeatures
MODEL = RandomFeatures(psi_p=1, psi_n=1, diffusion_time=1)
E = Experiment(mixture=GaussianMixture([1.0], [1.0]), model=MODEL)
CLAIM = Claim(id="{}", says="", source="", cases=[Case(name="a", experiments=dict(a=E))],
              measures={{"spectrum"}}, measure=dict, judge=list)
"""


def test_claims_are_loaded_by_file_name(tmp_path):
    write(tmp_path, test_b=TEXT.format("first"), test_a=TEXT.format("second"), helper="raise ValueError")
    loaded = load_claims(tmp_path)
    assert [c.id for c in loaded] == ["second", "first"]
    assert load_claims(tmp_path)[0] is loaded[0]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "hold claim files"),
        ({"test_a": "x = 1"}, "CLAIM = None"),
        ({"test_a": TEXT.format("one"), "test_b": TEXT.format("one")}, "occur once"),
    ],
)
def test_a_folder_that_is_no_claims_folder(tmp_path, files, message):
    write(tmp_path, **files)
    with pytest.raises(InvalidInput, match=message):
        load_claims(tmp_path)


def test_a_checkout_is_known_by_the_package_in_it(tmp_path):
    (tmp_path / "claims").mkdir()
    assert locate.checkout_claims_dir(tmp_path) is None  # some other project's folder of that name
    (tmp_path / "diffclaims").mkdir()
    (tmp_path / "diffclaims" / "_version.py").touch()
    assert locate.checkout_claims_dir(tmp_path) == tmp_path / "claims"
    assert locate.baselines_dir(tmp_path / "claims") == tmp_path / "baselines"


def test_an_installed_package_holds_its_claims_and_baselines(tmp_path, monkeypatch):
    monkeypatch.setattr(locate, "_PACKAGE", tmp_path / "site" / "diffclaims")
    with pytest.raises(InvalidInput, match="reinstall the package"):
        locate.claims_dir()
    (tmp_path / "site" / "diffclaims" / "claims").mkdir(parents=True)
    assert locate.claims_dir() == tmp_path / "site" / "diffclaims" / "claims"
    assert locate.baselines_dir() == tmp_path / "site" / "diffclaims" / "baselines"
