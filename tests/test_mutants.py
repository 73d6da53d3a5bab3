"""Mutants: what each spoils, that claims catch those aimed at them, and that invalid ones are stopped."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr

from diffclaims import cli
from diffclaims.api.answers import ACCURACY_LIMIT, check_accuracy
from diffclaims.api.case import Case, Role
from diffclaims.api.claim import Claim, load_claims
from diffclaims.api.effects import order_effects
from diffclaims.api.outcome import Outcome
from diffclaims.api.seeds import check_seeds
from diffclaims.api.subject import MEASURES, Tags
from diffclaims.errors import InvalidInput, SubjectInvalid
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.storage import schema
from diffclaims.storage.provenance import provenance
from diffclaims.studies.mutants import Finding, Hunt, render
from diffclaims.studies.mutations import MUTATIONS, Mutant, _jittered, _paired
from diffclaims.subjects.contract import PROBE, PROBE_TIMES, check_subject
from diffclaims.subjects.memo import Memo
from diffclaims.subjects.theory import SUBJECT
from diffclaims.times.speciation import speciation_times
from tests.seeded import SeededModel

CLAIMS = {claim.id: claim for claim in load_claims()}
PAIR = Experiment(
    mixture=GaussianMixture([0.3, 0.7], [2.0, 1.0], centroid_gram=[[1.0, 0.0], [0.0, 4.0]]),
    model=RandomFeatures(psi_p=8, psi_n=16, diffusion_time=0.05),
)


class Toy:
    """Class k is learned at a rate of its variance, memorized psi_n times later."""

    name = "toy"
    tags = Tags(exact=True, stochastic=False, measures=frozenset({"learning_curves"}), model="exponential")

    def __init__(self):
        self.asked = []

    def learning_curves(self, experiment):
        self.asked.append(experiment)
        times = np.geomspace(1e-3, 1e4, 141)
        m = experiment.mixture
        rates = (m.class_variance * m.weights)[:, None]
        floor = 0.5 / (1 + m.class_variance)
        learned = -np.expm1(-rates * times)
        gap = -np.expm1(-rates * times / experiment.model.psi_n) * 0.3 * (1 - floor[:, None])
        test = 1 - (1 - floor[:, None]) * learned + 0.8 * gap
        dims = ("class", "training_time")
        dataset = xr.Dataset(
            {
                "test_loss": (dims, test),
                "train_loss": (dims, test - gap),
                "bayes_loss": ("class", floor),
            },
            coords={"class": list(range(rates.size)), "training_time": times},
        )
        attrs = provenance(subject=self.name, experiment=experiment, accuracy=1e-6)
        return schema.stamp(dataset, "curves", attrs)

    def speciation(self, experiment, diffusion_times):
        raise AssertionError

    def spectrum(self, experiment):
        raise AssertionError


def order_claim(**more):
    """The higher variance first; any of its cases is cheap with the toy."""

    def case(name, variances, **case_more):
        mixture = GaussianMixture([0.5, 0.5], variances)
        experiment = Experiment(mixture=mixture, model=RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.1))
        return Case(name=name, experiments={"pair": experiment}, **case_more)

    def judge(_, data):
        return order_effects(data["pair"], first=0, later=1, milestones=("gen",))

    values = {
        "id": "variance-order",
        "says": "The higher variance is first.",
        "source": "test",
        "cases": (
            case("ratio-2", [2.0, 1.0]),
            case("swapped", [1.0, 2.0], role=Role.CONTROL, expect=frozenset({Outcome.FAILS})),
            case("elsewhere", [1.0, 2.0], role=Role.OUTSIDE, expect=frozenset({Outcome.HOLDS})),
        ),
        "rejects": frozenset({"labels-swapped", "constant"}),
        "measures": frozenset({"learning_curves"}),
        "measure": lambda subject, one: {"pair": subject.learning_curves(one.experiments["pair"])},
        "judge": judge,
    }
    return Claim(**(values | more))


def test_every_claim_has_two_mutants_that_it_must_catch():
    for claim in CLAIMS.values():
        assert len(claim.rejects) >= 2, claim.id


def test_every_valid_mutant_is_aimed_at_a_claim_and_no_claim_names_another():
    named = frozenset().union(*(claim.rejects for claim in CLAIMS.values()))
    assert named == {name for name, m in MUTATIONS.items() if not m.invalid}


def test_a_claim_that_names_no_mutant_is_told_so():
    with pytest.raises(InvalidInput, match="must be one of"):
        Hunt(Toy()).find(order_claim(rejects=frozenset({"smell"})), "constant")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("variances-reversed", {"variances": [[1.0], [2.0]]}),
        ("imbalance-ignored", {"weights": [0.5, 0.5]}),
        ("centroids-ignored", {"centroid_gram": [[0.0, 0.0], [0.0, 0.0]]}),
        ("centroids-exchanged", {"centroid_gram": [[4.0, 0.0], [0.0, 1.0]]}),
    ],
)
def test_what_is_asked_instead_differs_in_one_thing(name, expected):
    toy = Toy()
    Mutant(toy, name).learning_curves(PAIR)
    (asked,) = toy.asked
    assert asked.mixture.to_dict() == PAIR.mixture.to_dict() | expected
    assert asked.model == PAIR.model


def test_a_subject_that_ignores_the_size_is_asked_for_another():
    toy = Toy()
    Mutant(toy, "size-ignored").learning_curves(PAIR)
    assert toy.asked == [PAIR.replace(psi_n=4.0)]


def test_labels_stay_when_answers_are_swapped():
    true, wrong = Toy().learning_curves(PAIR), Mutant(Toy(), "labels-swapped").learning_curves(PAIR)
    assert wrong["class"].values.tolist() == [0, 1]
    for name in ("test_loss", "train_loss", "bayes_loss"):
        np.testing.assert_array_equal(wrong[name].values, true[name].values[::-1])


def test_shuffled_times_keep_the_values_of_each_class_and_are_the_same_again():
    true = Toy().learning_curves(PAIR)
    wrong = Mutant(Toy(), "times-shuffled").learning_curves(PAIR)
    assert wrong.identical(Mutant(Toy(), "times-shuffled").learning_curves(PAIR).assign_attrs(wrong.attrs))
    for k in (0, 1):
        for name in ("test_loss", "train_loss"):
            assert sorted(wrong[name].values[k]) == sorted(true[name].values[k])
            assert wrong[name].values[k, 0] == true[name].values[k, 0]
        assert (wrong.test_loss.values[k] != true.test_loss.values[k]).mean() > 0.9
        # Both losses of a class are moved alike: each point is still one of the subject's.
        gaps = sorted(wrong.test_loss.values[k] - wrong.train_loss.values[k])
        np.testing.assert_allclose(gaps, sorted(true.test_loss.values[k] - true.train_loss.values[k]))


def test_a_constant_is_the_same_for_every_class_and_question():
    mutant = Mutant(Toy(), "constant")
    one, other = mutant.learning_curves(PAIR), mutant.learning_curves(PAIR.replace(psi_n=2.0))
    assert (one.test_loss.isel({"class": 0}).values == one.test_loss.isel({"class": 1}).values).all()
    assert (one.test_loss.values == other.test_loss.values).all()


def test_transitions_are_swapped_on_both_sides():
    times = [0.1, 0.5, 1.0]
    true = SUBJECT.speciation(PAIR, times)
    wrong = Mutant(SUBJECT, "labels-swapped").speciation(PAIR, times)
    np.testing.assert_array_equal(wrong.transition.values, true.transition.values[::-1, ::-1])
    early = speciation_times(true).speciation_time.values
    np.testing.assert_array_equal(speciation_times(wrong).speciation_time.values, early[::-1])


@pytest.mark.parametrize("name", [n for n, m in MUTATIONS.items() if not m.invalid])
def test_a_mutant_that_is_only_wrong_keeps_the_contract(name):
    check_subject(Mutant(Toy(), name))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nan", "test_loss has 1 values that are not finite"),
        ("wrong-dims", "test_loss has dims"),
        ("percent", "starts .* away from 1"),
    ],
)
def test_an_invalid_mutant_is_stopped_by_the_contract_with_the_reason(name, message):
    with pytest.raises(SubjectInvalid, match=message):
        check_subject(Mutant(Toy(), name))
    found = Hunt(Toy()).find(order_claim(), name)
    assert (found.state, found.case, found.wrong) == ("invalid", "", False)
    assert f"toy-{name}" in found.reason


def test_an_invalid_answer_past_the_contract_is_refused_not_judged():
    check_subject(Mutant(Toy(), "nan-later"))
    found = Hunt(Toy()).find(order_claim(), "nan-later")
    assert (found.state, found.wrong) == ("invalid", False)
    assert "not finite" in found.reason


def test_an_invalid_answer_that_a_claim_judges_is_not_stopped():
    careless = order_claim(
        judge=lambda case, data: order_effects(Toy().learning_curves(PAIR), first=0, later=1)
    )
    found = Hunt(Toy()).find(careless, "nan-later")
    assert (found.state, found.wrong) == ("not stopped", True)


def test_a_mutant_is_caught_by_the_first_case_that_rejects_it():
    found = Hunt(Toy()).find(order_claim(), "labels-swapped")
    assert (found.state, found.case) == ("caught", "ratio-2")
    assert "fails" in found.reason


def test_a_control_that_comes_out_otherwise_catches_as_well():
    claim = order_claim(cases=order_claim().cases[1:])
    found = Hunt(Toy()).find(claim, "labels-swapped")
    assert (found.state, found.case) == ("caught", "swapped")


def test_a_check_without_teeth_lets_a_mutant_escape():
    toothless = order_claim(
        judge=lambda case, data: order_effects(Toy().learning_curves(PAIR), first=0, later=1),
        cases=order_claim().cases[:1],
    )
    found = Hunt(Toy()).find(toothless, "labels-swapped")
    assert (found.state, found.wrong) == ("escaped", True)


def test_a_case_that_the_subject_itself_does_not_pass_catches_nothing():
    claim = order_claim(cases=[c.replace(role=Role.REGIME, expect=()) for c in order_claim().cases[1:2]])
    # The mutant's order is the stated one, the subject's is not.
    assert Hunt(Toy()).find(claim, "constant").state == "escaped"


def test_cases_outside_the_regime_catch_nothing():
    claim = order_claim(cases=order_claim().cases[2:])
    assert Hunt(Toy()).find(claim, "labels-swapped").state == "not run"


def test_claims_that_are_not_aimed_at_are_not_measured():
    toy = Toy()
    assert Hunt(toy).find(order_claim(), "energies-pooled").state == "not targeted"
    assert toy.asked == []


def test_the_grid_names_cases_reasons_and_what_escaped():
    findings = [
        Finding(claim="a", mutant="labels-swapped", state="caught", case="ratio-2"),
        Finding(claim="b", mutant="labels-swapped", state="escaped"),
        Finding(claim="a", mutant="nan", state="invalid", reason="it has NaN"),
        Finding(claim="b", mutant="nan", state="invalid", reason="it has NaN"),
    ]
    text = render(findings, width=120)
    assert "ratio-2" in text
    assert "escaped" in text
    assert text.count("invalid [1]") == 2
    assert "[1] it has NaN" in text


@pytest.mark.parametrize(
    ("claim", "mutant"),
    [
        ("variance-order", "labels-swapped"),
        ("variance-order", "floors-exchanged"),
        ("minority-speciation", "speciation-unweighted"),
        ("minority-speciation", "chance-subtracted"),
    ],
)
def test_the_theory_is_told_from_its_mutants(claim, mutant):
    assert Hunt(SUBJECT).find(CLAIMS[claim], mutant).state == "caught"


def test_a_stochastic_subject_is_told_from_its_mutants_where_its_seeds_decide():
    subject = SeededModel(seeds=tuple(range(8)), n_dims=20, speciation_dims=6, n_points=4)
    hunt = Hunt(subject)
    found = hunt.find(CLAIMS["variance-order"], "labels-swapped")
    # At this size a ratio of 1.25 is inconclusive for the subject itself, so that it cannot catch anything.
    assert (found.state, found.case) == ("caught", "ratio-2")
    assert hunt.find(CLAIMS["variance-order"], "nan").state == "invalid"


def test_the_command_prints_the_grid_and_succeeds(capsys):
    assert cli.main(["mutants", "--claim", "minority-speciation", "--mutant", "speciation-unweighted"]) == 0
    out = capsys.readouterr().out
    assert "1 caught, 0 stopped as invalid, 0 wrong, 0 not run" in out


def test_the_command_fails_when_a_mutant_escapes(capsys, monkeypatch):
    claim = dataclasses.replace(CLAIMS["minority-speciation"], rejects=frozenset({"energies-pooled"}))
    monkeypatch.setattr("diffclaims.studies.mutants.chosen_claims", lambda *_: [claim])
    assert cli.main(["mutants", "--claim", "minority-speciation", "--mutant", "energies-pooled"]) == 1
    assert "energies-pooled on minority-speciation: escaped" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--claim", "--mutant"])
def test_the_command_names_what_there_is(option, capsys):
    assert cli.main(["mutants", option, "smell"]) == 2
    assert "must be one of" in capsys.readouterr().err


STOCHASTIC = [name for name, m in MUTATIONS.items() if m.of == "stochastic"]
SEEDS = range(8)


@pytest.fixture(scope="module")
def seeded():
    return Memo(SeededModel(seeds=tuple(SEEDS), n_dims=20, speciation_dims=16, n_points=40))


def test_the_honest_subject_of_the_seed_mutants_keeps_the_contract(seeded):
    check_subject(seeded)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_seeds_that_are_none_are_stopped_by_the_contract_and_in_each_kind(name, seeded):
    mutant = Mutant(seeded, name)
    with pytest.raises(SubjectInvalid, match="seed"):
        check_subject(mutant)
    with pytest.raises(SubjectInvalid, match="seed"):
        check_seeds(mutant.learning_curves(PROBE), "curves", "it")
    with pytest.raises(SubjectInvalid, match="seed"):
        check_seeds(mutant.speciation(PROBE, PROBE_TIMES), "speciation", "it")


@pytest.mark.parametrize("name", ["seeds-copied-rounded", "seeds-jittered-most", "seeds-in-widest-pairs"])
def test_seeds_that_are_none_are_refused_before_a_claim_judges(name, seeded):
    claim = CLAIMS["variance-order"]
    with pytest.raises(
        SubjectInvalid, match=r"learning_curves: .* of .*give every seed randomness of its own"
    ):
        claim.run(Mutant(seeded, name), claim.case("ratio-2"))


@pytest.mark.parametrize("spoil", [_jittered, _paired])
def test_the_weakest_seed_mutants_are_near_what_the_check_can_see(spoil, seeded):
    curves = seeded.learning_curves(PROBE)
    with pytest.raises(SubjectInvalid, match="comes in 4 kinds"):
        check_seeds(spoil(3e-3)(curves, PROBE, None), "curves", "it")
    check_seeds(spoil(6e-3)(curves, PROBE, None), "curves", "it")


@pytest.mark.parametrize("name", [name for name, m in MUTATIONS.items() if m.of == "exact"])
def test_an_overstated_accuracy_is_stopped_and_never_judged(name):
    found = Hunt(Toy()).find(order_claim(), name)
    assert (found.state, found.wrong) == ("invalid", False)
    assert "must be 0.003 or less" in found.reason
    with pytest.raises(SubjectInvalid, match=r"learning_curves: attribute accuracy .* solve more accurately"):
        order_claim().run(Mutant(Toy(), name), order_claim().case("ratio-2"))


def test_an_accuracy_at_the_limit_is_judged():
    for measure, kind in MEASURES.items():
        arguments = (PROBE, PROBE_TIMES) if measure == "speciation" else (PROBE,)
        answer = getattr(SUBJECT, measure)(*arguments)
        assert 3 * float(answer.attrs["accuracy"]) < ACCURACY_LIMIT[kind]
        check_accuracy(answer.assign_attrs(accuracy=ACCURACY_LIMIT[kind]), kind, "it")
        with pytest.raises(SubjectInvalid, match=f"of {kind} it must be"):
            check_accuracy(answer.assign_attrs(accuracy=1.01 * ACCURACY_LIMIT[kind]), kind, "it")


def test_a_mutant_of_another_sort_of_subject_is_not_run():
    found = Hunt(Toy()).find(order_claim(), "seeds-copied")
    assert (found.state, found.reason, found.wrong) == ("not run", "it is of stochastic subjects", False)


@pytest.mark.slow
def test_every_mutant_is_caught_by_every_claim_that_it_is_aimed_at(capsys):
    assert cli.main(["mutants"]) == 0
    aimed = sum(len(claim.rejects) for claim in CLAIMS.values())
    stopped = len(CLAIMS) * sum(m.invalid and m.applies(SUBJECT) for m in MUTATIONS.values())
    expected = f"{aimed} caught, {stopped} stopped as invalid, 0 wrong, 0 not run"
    assert expected in capsys.readouterr().out
