"""Names of classes travel with every number, through every function."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from diffclaims import finite, theory
from diffclaims.api import source
from diffclaims.api.case import Case
from diffclaims.errors import InvalidInput, SubjectInvalid
from diffclaims.finite.bias import bias_against
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.problem.names import by_name, labels_of, match_labels
from diffclaims.storage import netcdf
from diffclaims.studies.compare import compare
from diffclaims.studies.mutations import Mutant
from diffclaims.subjects.contract import check_subject
from diffclaims.subjects.theory import SUBJECT
from diffclaims.theory.speciation import speciation

MODEL = RandomFeatures(psi_p=4, psi_n=4, diffusion_time=0.1)
TIMES = np.geomspace(0.3, 300, 25)
#: Neither sorted nor reversed.
INTS, STRINGS = (8, 3, 1), ("Shirt", "Bag", "Coat")
#: Any two are so far apart that no permutation would pass for another.
SCALE = (1.6, 0.5, 1.0)


def samples(names, d=40, n=400):
    rng = np.random.default_rng(0)
    x = np.concatenate([s * rng.standard_normal((n, d)) for s in SCALE])
    mixed = rng.permutation(len(x))
    return x[mixed], np.repeat(np.array(names), n)[mixed]


@pytest.mark.parametrize("names", [INTS, STRINGS])
def test_theory_and_samples_meet_by_name(names):
    x, labels = samples(names)
    mixture = GaussianMixture.from_samples(x, labels, classes=names, n_types=1)
    assert mixture.classes == names
    assert all(type(name) is type(names[0]) for name in mixture.classes)
    np.testing.assert_allclose(np.sqrt(mixture.class_variance), SCALE, rtol=0.03)
    exact = theory.learning_curves(mixture, MODEL, TIMES, accuracy=1e-3)
    found = finite.learning_curves((mixture, MODEL), TIMES, x=x, labels=labels, seeds=4)
    alone = finite.learning_curves((None, MODEL), TIMES, x=x, labels=labels, seeds=4)
    assert alone["class"].values.tolist() == sorted(names)
    for one in (found, alone):
        for loss in ("test_loss", "train_loss"):
            difference = exact[loss] - one[loss].mean("seed")
            assert set(difference["class"].values.tolist()) == set(names)
            assert float(np.abs(difference).max()) < 0.06
        assert float(np.abs(exact["bayes_loss"] - one["bayes_loss"]).max()) < 0.03
    # Every exchange of two classes would show.
    for a, b in ((0, 1), (0, 2), (1, 2)):
        curves = [exact["test_loss"].sel({"class": names[k]}) for k in (a, b)]
        assert float(np.abs(curves[0] - curves[1]).max()) > 0.12


@pytest.mark.parametrize("names", [INTS, STRINGS])
def test_a_u_turn_has_the_names_on_both_sides(names):
    mixture = GaussianMixture([0.2, 0.3, 0.5], np.square(SCALE), classes=names)
    turns = [0.3, 1.0]
    exact = speciation(mixture, turns, n_dims=20)
    found = finite.speciation((mixture, MODEL), turns, n_dims=20, seeds=4, n_points=200, score="exact")
    difference = exact["transition"] - found["transition"].mean("seed")
    assert difference.shape == (3, 3, 2)
    assert difference["class"].values.tolist() == difference["to_class"].values.tolist() == list(names)
    assert float(np.abs(difference).max()) < 0.06
    unlike = exact["transition"].values - exact["transition"].values[::-1, ::-1]
    assert np.abs(unlike).max() > 0.2


def test_every_answer_of_the_theory_has_the_names():
    named = GaussianMixture([0.2, 0.3, 0.5], np.square(SCALE), classes=STRINGS)
    plain = named.renamed(None)
    for answer, other in (
        (theory.spectrum(named, MODEL), theory.spectrum(plain, MODEL)),
        (SUBJECT.learning_curves(Experiment(mixture=named, model=MODEL)), None),
    ):
        assert answer["class"].values.tolist() == list(STRINGS)
        if other is not None:
            assert other["class"].values.tolist() == [0, 1, 2]
            assert np.array_equal(answer["bulk_population_energy"], other["bulk_population_energy"])
    times = theory.learning_curves(named, MODEL, TIMES, accuracy=1e-3)
    assert theory.learning_curves(plain, MODEL, TIMES, accuracy=1e-3)["class"].values.tolist() == [0, 1, 2]
    assert times.attrs["experiment"] == Experiment(mixture=named, model=MODEL).to_json()


def test_names_stay_where_a_mixture_is_changed():
    mixture = GaussianMixture([0.2, 0.3, 0.5], np.square(SCALE), classes=STRINGS)
    assert mixture.take([2, 0, 1]).classes == ("Coat", "Shirt", "Bag")
    assert mixture.reweighted([0.5, 0.3, 0.2]).classes == STRINGS
    assert mixture.replace(centroid_gram=np.eye(3)).classes == STRINGS
    assert eval(repr(mixture)) == mixture
    assert eval(source.of_mixture(mixture)) == mixture
    assert mixture != mixture.renamed(None)
    assert len({mixture, mixture.renamed(None)}) == 2
    case = Case.of("one", mixture, MODEL)
    assert case.equal_variances().experiments["pair"].mixture.classes == STRINGS
    assert source.from_json(source.to_json(case)).experiments["pair"].mixture == mixture
    asked = []

    class Spy:
        name, tags = "spy", SUBJECT.tags

        def learning_curves(self, experiment):
            asked.append(experiment)
            return xr.Dataset()

    Mutant(Spy(), "variances-reversed").learning_curves(case.experiments["pair"])
    assert asked[0].mixture.classes == STRINGS


def test_an_experiment_and_its_mixture_have_one_set_of_names():
    plain = GaussianMixture([0.5, 0.5], [2.0, 1.0])
    named = plain.renamed(["b", "a"])
    by_mixture, by_name_ = Experiment(mixture=named, model=MODEL), None
    by_name_ = Experiment(mixture=plain, model=MODEL, classes=("b", "a"))
    assert by_mixture == by_name_
    assert by_mixture.key == by_name_.key
    assert by_name_.mixture.classes == by_mixture.classes == ("b", "a")
    assert by_name_.replace(classes=("c", "d")).mixture.classes == ("c", "d")
    assert by_name_.replace(classes=()).mixture == plain
    assert by_name_.replace(mixture=plain.reweighted([0.1, 0.9])).classes == ("b", "a")
    assert by_name_.replace(mixture=named.take([1, 0])).classes == ("a", "b")
    assert by_name_.replace(psi_n=3.0).classes == ("b", "a")
    ints = Experiment(mixture=plain.renamed([8, 3]), model=MODEL)
    assert (ints.classes, ints.mixture.classes) == (("8", "3"), (8, 3))
    assert ints.replace(psi_n=3.0).mixture.classes == (8, 3)
    assert ints.replace(mixture=plain).mixture.classes == (8, 3)
    with pytest.raises(InvalidInput, match=r"classes = \('a', 'b'\).*\['b', 'a'\].*leave them out"):
        Experiment(mixture=named, model=MODEL, classes=("a", "b"))


@pytest.mark.parametrize("names", [INTS, STRINGS, ("2", "0", "1")])
def test_names_survive_json_and_netcdf(names, tmp_path):
    mixture = GaussianMixture([0.2, 0.3, 0.5], np.square(SCALE), classes=names)
    experiment = Experiment(mixture=mixture, model=MODEL)
    again = Experiment.from_json(experiment.to_json())
    assert again == experiment
    assert again.mixture.classes == names
    assert GaussianMixture.from_dict(json.loads(json.dumps(mixture.to_dict()))).classes == names
    curves = theory.learning_curves(mixture, MODEL, TIMES, accuracy=1e-3)
    netcdf.write(tmp_path / "a.nc", curves)
    read = netcdf.read_dataset(tmp_path / "a.nc")
    assert read["class"].values.tolist() == list(names)
    assert Experiment.from_json(read.attrs["experiment"]).mixture.classes == names
    difference = read["test_loss"] - curves["test_loss"]
    assert difference.shape == (3, TIMES.size)
    assert float(np.abs(difference).max()) == 0


def test_names_by_default_are_in_no_written_form():
    plain = GaussianMixture([0.2, 0.8], [2.0, 1.0])
    written = Experiment(mixture=plain, model=MODEL).to_json()
    assert json.loads(written)["classes"] == []
    assert sorted(plain.to_dict()) == ["centroid_gram", "fractions", "variances", "weights"]
    assert GaussianMixture([0.2, 0.8], [2.0, 1.0], classes=[0, 1]) == plain
    named = Experiment(mixture=plain, model=MODEL, classes=("Bag", "Trouser")).to_json()
    # As recordings of networks have it: the names of the experiment, and a mixture without.
    assert json.loads(named) == json.loads(written) | {"classes": ["Bag", "Trouser"]}


def test_samples_of_other_classes_are_left_out_by_both():
    x, labels = samples(INTS)
    mixture = GaussianMixture.from_samples(x, labels, classes=[8, 1], n_types=1)
    curves = finite.learning_curves((mixture, MODEL), TIMES, x=x, labels=labels, seeds=2)
    assert curves["class"].values.tolist() == [8, 1]
    keep = labels != 3
    only = finite.learning_curves((mixture, MODEL), TIMES, x=x[keep], labels=labels[keep], seeds=2)
    xr.testing.assert_equal(curves, only)


def test_comparisons_match_classes_by_name():
    x, labels = samples(STRINGS)
    tree = compare(x, labels, MODEL, n_types=1, seeds=2, classes=STRINGS)
    difference = tree["difference"].to_dataset()
    assert difference["class"].values.tolist() == list(STRINGS)
    exact, found = tree["theory"].to_dataset(), tree["finite"].to_dataset()
    turned = exact.sel({"class": sorted(STRINGS)})
    one, two = bias_against(found, exact), bias_against(found, turned)
    assert float(one["rms"]) == float(two["rms"]) < 0.06
    with pytest.raises(InvalidInput, match="name the classes"):
        bias_against(found, exact.assign_coords({"class": list(INTS)}))
    assert by_name(exact.drop_vars("class"), STRINGS).sizes == exact.sizes


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([8, 3], r"classes = \[8, 3\].*hold 3 names.*it holds 2.*order of the weights"),
        ([8, 3, 8], r"classes = \[8, 3, 8\].*distinct labels.*\[8\] come twice"),
        ([8, "3", 1], r"classes = \[8, '3'\].*all integers or all strings.*str\(\)"),
        ([8, 3, 1.5], r"classes = 1.5.*integers or strings"),
        ([8, 3, None], "classes = None.*integers or strings"),
        ("abc", "classes = 'abc'.*list of names"),
        (3, "classes = 3.*list of names"),
    ],
)
def test_names_that_cannot_be(names, message):
    with pytest.raises(InvalidInput, match=message):
        GaussianMixture([0.2, 0.3, 0.5], [1, 2, 3], classes=names)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([8, 8, 3, 3], r"labels = \[3, 8\].*\[8, 3, 1\]: \[1\] are missing.*classes="),
        (["8", "3", "1", "1"], r"\[8, 3, 1\] are missing"),
        ([8, "3", 1, 1], r"labels = \[8, '3'\].*all integers or all strings"),
        (np.array([8, "3", 1, 1], dtype=object), "all integers or all strings"),
        ([8, 3, 1, 0.5], "labels = 0.5.*integers or strings"),
        ([8, 3, 1, np.nan], "labels = '<NaN"),
    ],
)
def test_labels_that_do_not_name_the_classes(labels, message):
    with pytest.raises(InvalidInput, match=message):
        match_labels(labels, INTS)
    mixture = GaussianMixture([0.2, 0.3, 0.5], [1, 2, 3], classes=INTS)
    with pytest.raises(InvalidInput, match=message):
        finite.learning_curves((mixture, MODEL), x=np.ones((4, 2)), labels=labels)


def test_labels_of_any_integer_type_are_integers():
    for labels in ([True, False], np.array([1.0, 0.0]), np.array([1, 0], np.uint8), np.array([1, 0], object)):
        assert labels_of(labels).tolist() == [1, 0]
    assert GaussianMixture([1.0], [1.0], classes=np.array([7], np.int16)).classes == (7,)
    assert type(GaussianMixture([1.0], [1.0], classes=np.array(["a"])).classes[0]) is str


class Permuted:
    """The theory, with its classes in another order than the mixture's."""

    name, tags = "permuted", SUBJECT.tags

    def __init__(self, order):
        self.order = order

    def learning_curves(self, experiment):
        return SUBJECT.learning_curves(experiment).isel({"class": self.order})

    def speciation(self, experiment, diffusion_times):
        return SUBJECT.speciation(experiment, diffusion_times)

    def spectrum(self, experiment):
        return SUBJECT.spectrum(experiment)


def test_a_subject_that_orders_classes_otherwise_breaks_the_contract():
    check_subject(Permuted([0, 1]), repeat=False)
    with pytest.raises(SubjectInvalid, match=r"coordinate class is \[1, 0\].*\[0, 1\]"):
        check_subject(Permuted([1, 0]), repeat=False)
    named = Experiment(mixture=GaussianMixture([0.5, 0.5], [2, 1], classes=["b", "a"]), model=MODEL)
    check_subject(Permuted([0, 1]), probe=named, repeat=False)
