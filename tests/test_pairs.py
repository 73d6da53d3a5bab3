"""All pairs of many classes together: planted orders, their limits, and which experiments count."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from diffclaims.api import pairs as api_pairs
from diffclaims.api.case import Role
from diffclaims.api.claim import chosen_claims, load_claims
from diffclaims.api.outcome import Effect, Outcome
from diffclaims.api.pairs import Draws, Estimate, Pairs, effect, order_effects, partial, select
from diffclaims.api.verdict import Verdict
from diffclaims.cli import main
from diffclaims.errors import InvalidInput, NotMeasured
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.storage import netcdf as storage
from diffclaims.storage.paths import baselines_dir
from diffclaims.storage.provenance import provenance
from diffclaims.storage.recordings import record
from diffclaims.storage.schema import stamp
from diffclaims.studies import pair_rates, predictors
from diffclaims.unet.measure.wiener import ClassMoments

MODEL = RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.05)
NAMES = ("shoe", "bag", "coat", "hat", "sock", "belt", "tie", "scarf", "glove", "dress")
VARIANCES = np.array([1.0, 2.0, 0.5, 1.5, 0.7, 1.2, 0.9, 1.7, 0.6, 0.8])
#: Unrelated to the variances: rank correlation -0.10.
NORMS = np.array([0.5, 1.0, 0.2, 0.1, 0.4, 0.8, 0.9, 0.3, 0.6, 0.7])
CLAIMS = {c.id: c for c in load_claims()}


def experiment(names=NAMES, psi_n=4.0, weights=None) -> Experiment:
    where = [NAMES.index(c) for c in names]
    k = len(names)
    gram = np.diag(NORMS[where])
    return Experiment(
        mixture=GaussianMixture(weights or np.full(k, 1 / k), VARIANCES[where], centroid_gram=gram),
        model=RandomFeatures(psi_p=8, psi_n=psi_n, diffusion_time=0.05),
        data="synthetic",
        classes=tuple(names),
    )


def curves(asked: Experiment, log_times, n_seeds=3, scatter=0.01, **times) -> xr.Dataset:
    """Stated times, with a scatter between seeds; the same of every milestone."""
    rng = np.random.default_rng(0)
    values = np.exp(np.asarray(log_times) + scatter * rng.normal(size=(n_seeds, len(log_times))))
    steps = np.geomspace(1, 1e4, 7)
    loss = (("seed", "class", "training_time"), np.ones((n_seeds, len(log_times), steps.size)))
    by_class = ("seed", "class")
    data = {"test_loss": loss, "train_loss": loss, "bayes_loss": (("class",), np.full(len(log_times), 0.5))}
    for kind in ("gen", "mem"):
        dims = (*by_class, f"{kind}_definition")
        data[f"tau_{kind}_by_definition"] = dims, times.get(kind, values)[..., None]
    data["tau_best_by_loss"] = by_class, values
    data["wiener_loss"] = (("class", "noise_level"), np.exp(np.asarray(log_times))[:, None] / 1e6)
    coords = {"class": list(asked.classes), "seed": range(n_seeds), "training_time": steps}
    coords |= {"gen_definition": ["iso_0.8"], "mem_definition": ["gap_0.25"], "noise_level": [0.2]}
    coords["low"] = ("noise_level", np.ones(1, dtype=np.int8))
    made = provenance(subject="unet", experiment=asked, seeds=range(n_seeds))
    return stamp(xr.Dataset(data, coords), "curves", made)


def one_by_one(names, log_time) -> tuple[dict[str, Experiment], dict[str, xr.Dataset]]:
    """Every pair trained alone; `log_time` by name of the class."""
    asked = {f"{a}-{b}": experiment((a, b)) for a, b in itertools.combinations(names, 2)}
    return asked, {k: curves(e, [log_time[c] for c in e.classes]) for k, e in asked.items()}


BY_VARIANCE = dict(zip(NAMES, 5 - np.log(VARIANCES), strict=True))


def verdict(claim_id: str, log_times) -> Verdict:
    asked = experiment()
    (case,) = CLAIMS[claim_id].select({"ten": asked})
    return Verdict(CLAIMS[claim_id].judge(case, {"ten": curves(asked, log_times)}))


class TestPlanted:
    """An order that was put there is found, its reverse refused, and no order is none."""

    def test_the_order_of_variances_holds_and_its_reverse_fails(self):
        assert verdict("variance-order", 5 - np.log(VARIANCES)).outcome is Outcome.HOLDS
        assert verdict("variance-order", 5 + np.log(VARIANCES)).outcome is Outcome.FAILS

    def test_times_that_follow_something_else_are_inconclusive(self):
        assert verdict("variance-order", 5 + NORMS).outcome is Outcome.INCONCLUSIVE

    def test_one_pair_in_the_wrong_order_is_seen_in_the_share(self):
        log_times = 5 - np.log(VARIANCES)
        log_times[[0, 6]] = log_times[[6, 0]]  # neighbours in the order of variances
        found = verdict("variance-order", log_times).effects[0]
        assert found.value == pytest.approx(44 / 45)

    def test_centroids_that_decide_are_not_taken_for_variances(self):
        assert verdict("centroid-secondary", 5 - np.log(VARIANCES)).outcome is Outcome.HOLDS
        assert verdict("centroid-secondary", 5 + NORMS).outcome is Outcome.FAILS
        assert verdict("centroid-secondary", 5 - NORMS).outcome is Outcome.FAILS

    def test_pairs_that_were_trained_alone_give_the_same_share(self):
        asked, data = one_by_one(NAMES, BY_VARIANCE)
        together = order_effects(
            {"ten": experiment()}, {"ten": curves(experiment(), 5 - np.log(VARIANCES))}, _variance
        )
        alone = order_effects(asked, data, _variance)
        assert [e.name for e in alone] == [e.name for e in together]
        for a, b in zip(alone, together, strict=True):
            # Their seeds scatter by themselves, which moves ranks, and no order.
            assert a.value == pytest.approx(b.value, abs=0.01)
            assert a.value == pytest.approx(1, abs=0.05)
            assert a.outcome is Outcome.HOLDS

    def test_four_classes_decide_nothing_and_five_can(self):
        for n, outcome in ((4, Outcome.INCONCLUSIVE), (5, Outcome.HOLDS)):
            asked, data = one_by_one(NAMES[:n], BY_VARIANCE)
            found = order_effects(asked, data, _variance)
            assert Verdict(found).outcome is outcome
        assert "4 classes" in order_effects(*one_by_one(NAMES[:4], BY_VARIANCE), _variance)[0].sentence()


def _variance(mixture):
    return mixture.class_variance


def some(n_classes=6, n_seeds=2, seed=0) -> Pairs:
    first, second = np.array(list(itertools.combinations(range(n_classes), 2))).T
    ratios = np.random.default_rng(seed).normal(size=(first.size, n_seeds)).round(1)
    return Pairs(tuple(NAMES[:n_classes]), first, second, ratios, ())


class TestStatistics:
    """Against plain computations of the same."""

    def test_row_zero_is_what_was_measured(self):
        pairs, x = some(), np.random.default_rng(1).normal(size=15)
        draws = Draws.of(pairs, 50)
        mean = pairs.ratios.mean(axis=1)
        assert draws.share(pairs, x)[0] == pytest.approx(np.mean((1 + np.sign(mean) * np.sign(x)) / 2))
        plain = stats.spearmanr(np.r_[mean, -mean], np.r_[x, -x]).statistic
        assert draws.rank_correlations(pairs, [x])[0, 0, 1] == pytest.approx(plain)

    def test_infinite_values_are_ranked_as_the_largest(self):
        ratios = np.array([[0.3], [np.inf], [np.inf], [-np.inf], [-0.1], [0.2]])
        pairs, x = Pairs(tuple("abcd"), *np.triu_indices(4, 1), ratios, ()), np.arange(6.0) - 2.2
        both = np.r_[ratios[:, 0], -ratios[:, 0]]
        plain = stats.spearmanr(stats.rankdata(both), np.r_[x, -x]).statistic
        assert Draws.none(pairs).rank_correlations(pairs, [x])[0, 0, 1] == pytest.approx(plain)

    def test_a_draw_is_the_same_as_repeating_the_pairs(self):
        pairs, x = some(), np.random.default_rng(1).normal(size=15).round(1)
        draws = Draws.of(pairs, 20)
        correlations, shares = draws.rank_correlations(pairs, [x])[:, 0, 1], draws.share(pairs, x)
        for i in range(1, 21):
            values = pairs.ratios @ draws.seeds[i] / 2
            repeated = np.repeat(np.arange(15), draws.pairs[i].astype(int))
            y, z = values[repeated], x[repeated]
            plain = stats.spearmanr(np.r_[y, -y], np.r_[z, -z]).statistic
            assert correlations[i] == pytest.approx(plain)
            assert shares[i] == pytest.approx(np.mean((1 + np.sign(y) * np.sign(z)) / 2))

    def test_a_draw_of_classes_gives_pairs_the_product_of_their_counts(self):
        draws = Draws.of(some(), 200)
        # The pairs of class 0 with the others, and so on: counts can be read back.
        totals = draws.pairs[1:].sum(axis=1)
        assert ((totals > 0) & (totals <= 15)).all()
        assert totals.mean() == pytest.approx(15 * (1 - 1 / 6), rel=0.05)

    def test_partial_correlations_are_those_of_residuals(self):
        rng = np.random.default_rng(3)
        data = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4))
        data -= data.mean(axis=0)
        found = partial(np.corrcoef(data.T))
        for j in range(3):
            rest = np.delete(data[:, 1:], j, axis=1)
            residuals = [
                v - rest @ np.linalg.lstsq(rest, v, rcond=None)[0] for v in (data[:, 0], data[:, 1 + j])
            ]
            assert found[j] == pytest.approx(np.corrcoef(*residuals)[0, 1], abs=1e-4)

    def test_what_cannot_be_told_apart_explains_nothing(self):
        same = np.array([[1.0, 0.5, 0.5], [0.5, 1.0, 1.0], [0.5, 1.0, 1.0]])
        np.testing.assert_allclose(partial(same), 0, atol=1e-3)
        np.testing.assert_array_equal(partial(np.zeros((3, 3))), 0)

    def test_times_that_are_never_reached(self):
        inf = np.inf
        first, second = np.array([0, 0, 1]), np.array([1, 2, 2])
        ratios = np.array([[1.0, inf], [np.nan, 1.0], [inf, -inf]])
        pairs = Pairs(("a", "b", "c"), first, second, ratios, ())
        np.testing.assert_array_equal(pairs.values, [inf, 0, 0])
        assert pairs.n_without_order == 2
        only = Draws(np.ones((2, 3)), np.array([[2.0, 0.0], [0.0, 2.0]])).values(pairs)
        np.testing.assert_array_equal(only, [[1, 0, inf], [inf, 1, -inf]])

    def test_the_limits_of_a_share_of_chance_contain_a_half(self):
        pairs, x = some(10, 2, 5), np.random.default_rng(7).normal(size=45)
        found = Estimate.of(Draws.of(pairs).share(pairs, x), 0.01)
        assert found.low < 0.5 < found.high


class TestEffect:
    """Limits decide in place of seeds."""

    def of(self, low, high, **more):
        return Effect(
            name="share", value=(low + high) / 2, threshold=0.5, n_seeds=3, interval=(low, high), **more
        )

    def test_limits_decide(self):
        assert self.of(0.6, 0.9).outcome is Outcome.HOLDS
        assert self.of(0.1, 0.4).outcome is Outcome.FAILS
        assert self.of(0.4, 0.6).outcome is Outcome.INCONCLUSIVE
        assert self.of(0.5, 0.9).outcome is Outcome.INCONCLUSIVE
        assert "0.6 and" in self.of(0.6, 0.9).sentence()

    def test_one_effect_that_fails_among_several_is_no_failure_of_the_claim(self):
        """A limit is wrong in up to 1 % of cases: among six, one of them more often than that."""
        assert Verdict([self.of(0.1, 0.4), *[self.of(0.4, 0.6)] * 5]).outcome is Outcome.INCONCLUSIVE
        assert Verdict([self.of(0.1, 0.4)] * 6).outcome is Outcome.FAILS

    def test_limits_in_the_wrong_order_are_refused(self):
        with pytest.raises(InvalidInput, match="lower one first"):
            self.of(0.9, 0.1)

    def test_no_number_of_seeds_is_promised(self):
        found = effect("share", np.array([0.5, 0.4, 0.6]), some(), 0.5)
        assert found.more_seeds is None
        assert "more classes would decide it" in found.sentence()


class TestSelection:
    """A pair is not picked: all count, or those that stand alone count for nothing."""

    def test_classes_trained_together_are_a_case(self):
        (case,) = select({"ten": experiment(), "unequal": experiment(NAMES[:3], weights=[0.2, 0.3, 0.5])})
        assert case.name == "ten"
        assert case.role is Role.REGIME

    def test_all_pairs_are_one_case_and_none_may_be_missing(self):
        asked, _ = one_by_one(NAMES[:5], BY_VARIANCE)
        (case,) = select(asked)
        assert case.name == "all-pairs-of-5"
        assert set(case.experiments) == set(asked)
        asked.pop("shoe-bag")
        assert select(asked) == []

    def test_sets_of_other_sizes_are_kept_apart(self):
        few, _ = one_by_one(NAMES[:3], BY_VARIANCE)
        more = {f"{k}-more": experiment(e.classes, psi_n=8.0) for k, e in few.items()}
        assert [c.name for c in select(few | more)] == ["all-pairs-of-3-1", "all-pairs-of-3-2"]

    @pytest.mark.parametrize(
        ("others", "role"),
        [({}, Role.REGIME), ({"ten": experiment()}, Role.OUTSIDE)],
        ids=["alone", "picked"],
    )
    def test_a_pair_counts_only_where_there_are_no_other_classes(self, others, role):
        cases = {
            c.name: c for c in CLAIMS["variance-order"].select({"pair": experiment(NAMES[:2]), **others})
        }
        assert cases["pair"].role is role

    def test_seeds_that_experiments_have_in_common_are_used(self):
        asked, data = one_by_one(NAMES[:3], BY_VARIANCE)
        name = next(iter(asked))
        fewer = {**data, name: data[name].isel(seed=[1])}
        assert Pairs.of(asked, fewer, "gen").ratios.shape == (3, 1)
        other = {**data, name: data[name].assign_coords(seed=[7, 8, 9])}
        with pytest.raises(NotMeasured, match="no seed in common"):
            Pairs.of(asked, other, "gen")
        with pytest.raises(NotMeasured, match="have none"):
            Pairs.of(asked, {**data, name: data[name].isel(seed=0)}, "gen")

    def test_classes_in_another_order_are_the_same(self):
        asked = experiment()
        given = curves(asked, 5 - np.log(VARIANCES))
        a, b = (
            Pairs.of({"ten": asked}, {"ten": d}, "gen")
            for d in (given, given.isel({"class": slice(None, None, -1)}))
        )
        np.testing.assert_array_equal(a.ratios, b.ratios)


def test_the_command_reports_and_keeps_what_it_found(tmp_path, capsys):
    five = experiment(NAMES[:5])
    record(tmp_path, five, curves(five, [BY_VARIANCE[c] for c in five.classes]), name="five")
    out = tmp_path / "out"
    assert main(["orders", "mine", "--folder", str(tmp_path), "--out", str(out)]) == 0
    text, said = capsys.readouterr()
    assert "without predictors from the images" in said
    assert "total variance" in text
    assert "1.00 [1.00, 1.00]" in text
    found = storage.read_dataset(out / "mine-five.nc")
    assert found.attrs["command"] == f"diffclaims orders mine --out {out}"
    assert found["by_seed"].dims == ("definition", "pair", "seed")
    main_definition = found.sel(definition="gen: iso_0.8")
    assert float(main_definition["share"].sel(predictor=predictors.VARIANCE)) == 1
    assert main(["orders", "mine", "--folder", str(tmp_path), "--seeds", "0,1"]) == 0
    assert main(["orders", "mine", "--folder", str(tmp_path), "--seeds", "9"]) == 2
    assert "be among the recorded seeds [0, 1, 2]" in capsys.readouterr().err


def test_a_campaign_of_single_pairs_has_no_order_of_many(tmp_path, capsys):
    pair = experiment(NAMES[:2])
    record(tmp_path, pair, curves(pair, [1.0, 2.0]), name="pair")
    assert main(["orders", "mine", "--folder", str(tmp_path)]) == 2
    assert "all pairs of them" in capsys.readouterr().err


def test_distances_are_counted_in_the_class_s_own_deviation_along_the_line():
    rng = np.random.default_rng(0)
    tall = np.stack([rng.normal(0, 20, 4000), rng.normal(0, 20, 4000)], axis=1)
    flat = np.stack([rng.normal(60, 10, 4000), rng.normal(0, 40, 4000)], axis=1)
    images = [x.reshape(len(x), 1, 1, 2).astype(np.float32) for x in (tall, flat)]
    found = predictors.distances([ClassMoments.of(x) for x in images])
    assert found[0, 1] == pytest.approx(60 / 20, rel=0.05)
    assert found[1, 0] == pytest.approx(60 / 10, rel=0.05)


def test_the_recorded_error_rates_are_within_the_limit():
    found = storage.read_dataset(baselines_dir() / pair_rates.FILE)
    assert pair_rates.worst_share(found) <= 0.01
    assert found["n_classes"].values.tolist() == list(pair_rates.N_CLASSES)


def test_few_repetitions_run_and_are_reported(monkeypatch):
    monkeypatch.setattr(pair_rates, "N_CLASSES", (5,))
    monkeypatch.setattr(pair_rates, "N_DRAWS", 200)
    found = pair_rates.pair_rates(100, 0)
    assert "trained in pairs" in pair_rates.report(found)
    with pytest.raises(InvalidInput, match="be 100 or more"):
        pair_rates.pair_rates(10)


class TestDesigns:
    """Pairs at the same several weights are judged together; one that may have been picked is a case of its own."""

    MODEL = RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.05)

    def at(self, names, weights):
        return {
            f"{''.join(names)}-{w}": Experiment(
                mixture=GaussianMixture([w, 1 - w], [2.0, 1.0], classes=list(names)),
                model=self.MODEL,
                data="images",
            )
            for w in weights
        }

    def test_three_pairs_at_the_same_weights_are_one(self):
        asked = {**self.at("ab", (0.1, 0.5)), **self.at("cd", (0.1, 0.5)), **self.at("ae", (0.5, 0.1))}
        assert api_pairs.pooled(asked) == set(asked)
        cases = [
            name
            for claim in chosen_claims(
                ["variance-order", "two-phases", "bias-before-best", "uneven-memorization"]
            )
            for name in (c.name for c in claim.select(asked))
        ]
        assert cases == []

    @pytest.mark.parametrize("other", [("ae", (0.5, 0.2)), ("ae", (0.5,)), ("ab", (0.1, 0.5))])
    def test_two_pairs_or_other_weights_are_not(self, other):
        asked = {**self.at("ab", (0.1, 0.5)), **self.at("cd", (0.1, 0.5)), **self.at(*other)}
        assert api_pairs.pooled(asked) == set()
        (claim,) = chosen_claims(["two-phases"])
        assert claim.select(asked)


def test_the_milestones_of_one_set_of_pairs_have_the_same_draws():
    learned = Pairs(
        ("a", "b", "c"), np.array([0, 0, 1]), np.array([1, 2, 2]), np.zeros((3, 4)), (), (0, 1, 2, 3)
    )
    first, again = Draws.of(learned, 50), Draws.of(learned, 50)
    assert first.pairs is again.pairs
    with pytest.raises(ValueError, match="read-only"):
        first.pairs[0, 0] = 2.0
    other = Draws.of(learned, 50, seed=1)
    assert not np.array_equal(first.seeds, other.seeds)
    # Classes and seeds are drawn as often as there are of them.
    assert (first.seeds.sum(axis=1) == 4).all()
