"""Pictures, without looking at them: that every kind can be drawn, and what is refused."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from diffclaims import DiffclaimsError, GaussianMixture, RandomFeatures, theory
from diffclaims.cli import main
from diffclaims.storage import netcdf as storage
from diffclaims.storage.provenance import provenance
from diffclaims.storage.schema import stamp

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")

from diffclaims import plots  # noqa: E402


@pytest.fixture(scope="module")
def curves():
    mixture = GaussianMixture([0.5, 0.5], [2.0, 0.5])
    return theory.learning_curves(
        mixture, RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.05), accuracy=1e-3
    )


@pytest.fixture
def measured(curves):
    rng = np.random.default_rng(0)
    noisy = [curves + 0.01 * rng.standard_normal() for _ in range(3)]
    ds = xr.concat(noisy, dim="seed")
    ds["bayes_loss"] = curves["bayes_loss"]
    return ds.assign_attrs({k: v for k, v in curves.attrs.items() if k != "accuracy"})


def test_curves_carry_three_times_and_points(curves, measured):
    ax = plots.learning_curves(curves, finite=measured)
    assert ax.get_xscale() == "log"
    # Two curves, a Bayes line and three times for each class, and two sets of points.
    assert len(ax.containers) == 4
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert "finite size, 3 seeds" in texts
    assert {"generalized", "best", "memorized", "class 0", "class 1"} <= set(texts)
    matplotlib.pyplot.close(ax.figure)


def test_the_command_draws_curves(curves, tmp_path, capsys):
    storage.write(tmp_path / "curves.nc", curves)
    assert main(["plot", str(tmp_path / "curves.nc"), "--out", str(tmp_path / "out.png")]) == 0
    assert (tmp_path / "out.png").read_bytes()[:4] == b"\x89PNG"
    assert main(["plot", str(tmp_path / "curves.nc"), "--out", str(tmp_path / "out.jpeg2")]) == 2
    assert "name a .png file" in capsys.readouterr().err
    assert main(["plot", str(tmp_path / "none.nc"), "--out", str(tmp_path / "out.png")]) == 2
    assert {p.name for p in tmp_path.iterdir()} == {"curves.nc", "out.png"}


def test_matplotlib_is_asked_for_only_when_needed(monkeypatch, curves):
    actual = importlib.import_module

    def missing(name, *args):
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(f"No module named {name!r}", name="matplotlib")
        return actual(name, *args)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(
        DiffclaimsError, match=r"matplotlib is not installed.*pip install 'diffclaims\[plot\]'"
    ):
        plots.learning_curves(curves)


def test_importing_plots_imports_no_matplotlib():
    code = "import sys, diffclaims.plots.command; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_u_turns_are_drawn_with_what_stands_beside_them(tmp_path):
    mixture = GaussianMixture([0.2, 0.8], [1.0, 1.0], centroid_gram=[[0.5, -0.5], [-0.5, 0.5]])
    ds = theory.speciation(mixture, np.geomspace(0.05, 3.0, 12), n_dims=50, rng=0)
    assert len(plots.draw_speciation(ds).get_legend_handles_labels()[1]) == 2
    turned = ds.expand_dims(seed=[0, 1]).assign_coords(noise_level=("diffusion_time", np.arange(1.0, 13.0)))
    for name in ("oracle_return_probability", "late_return_probability"):
        turned[name] = turned["return_probability"]
    ax = plots.draw_speciation(turned)
    assert len(ax.get_legend_handles_labels()[1]) == 6
    assert "sigma" in ax.get_xlabel()


def test_stated_times_are_marked_where_a_dataset_has_them(curves):
    late = curves.sizes["training_time"] - 3
    at = curves["training_time"].values[late]
    stated = curves.assign(
        tau_gen_by_definition=(("class", "gen_definition"), np.full((2, 1), at)),
        tau_mem_by_definition=(("class", "mem_definition"), np.full((2, 1), np.inf)),
        tau_best_by_loss=(("class",), np.full(2, at)),
    )
    marked = [
        line.get_xdata()[0] for line in plots.learning_curves(stated).lines if len(line.get_xdata()) == 1
    ]
    assert marked == [at] * 4


def test_seeds_are_a_band_and_steps_are_named(measured):
    measured["training_time"].attrs["units"] = "step"
    ax = plots.learning_curves(measured)
    # Test and training losses of two classes.
    assert len(ax.collections) == 4
    assert ax.get_xlabel() == "training time in optimizer steps"


@pytest.fixture
def orders():
    """Three pairs: in order, against it, and one of which only one class was reached."""
    by_seed = np.array([[-0.2, -0.3], [0.1, 0.2], [-np.inf, -np.inf]])[None]
    share = (("definition", "predictor"), [[2 / 3]])
    dataset = xr.Dataset(
        {
            "measured": (("definition", "pair"), by_seed.mean(axis=-1)),
            "by_seed": (("definition", "pair", "seed"), by_seed),
            "expected": (("predictor", "pair"), [[-0.5, -0.4, -0.1]]),
            "share": share,
            "correlation": share,
            "gain": share,
        },
        {
            "definition": ["gen: iso_0.8"],
            "pair": ["a-b", "a-c", "b-c"],
            "seed": [0, 1],
            "predictor": ["total variance"],
        },
    )
    return stamp(dataset, "orders", provenance(subject="unet", seeds=range(2)))


def test_orders_are_drawn_below_the_line_where_they_are_as_expected(orders):
    ax = plots.draw_orders(orders)
    assert ax.get_legend().get_title().get_text() == "67 % of 3 pairs in order"
    in_order, against = (c.lines[0].get_xydata() for c in ax.containers)
    np.testing.assert_allclose(in_order, [[0.5, -0.25]])
    np.testing.assert_allclose(against, [[0.4, 0.15]])
    edges = [line.get_ydata()[0] for line in ax.lines if line.get_marker() == "v"]
    assert edges[0] < -0.25


def test_turning_a_pair_round_draws_the_same(orders):
    turned = orders.assign(**{name: -orders[name] for name in ("measured", "by_seed", "expected")})
    a, b = ([c.lines[0].get_xydata() for c in plots.draw_orders(d).containers] for d in (orders, turned))
    np.testing.assert_allclose(np.concatenate(a), np.concatenate(b))


def test_a_limit_at_infinity_ends_at_the_edge(orders):
    """Both classes were reached in every seed, and not by every resampling of the images."""
    both = (("definition", "pair"), [[np.inf] * 3])
    open_ended = orders.assign(measured_low=(both[0], [[-np.inf] * 3]), measured_high=both)
    open_ended["measured_low"][0, 2] = -1.0
    ax = plots.draw_orders(open_ended)
    for bar in ax.containers:
        assert np.isfinite(np.concatenate(bar.lines[2][0].get_segments())).all()


def test_a_watched_training_is_marked_at_its_times():
    one = ("weights", "class", "step", "sigma")
    losses = xr.Dataset(
        {
            name: (one, np.full((1, 2, 3, 4), value))
            for name, value in (("train_loss", 0.1), ("held_out_loss", 0.2))
        },
        {"weights": ["raw"], "class": [0, 1], "step": [0, 10, 100]},
    )
    status = xr.Dataset(
        {
            "state": ("class", ["learned", "memorized"]),
            "n_train": ("class", [150, 15]),
            "learned_at": ("class", [20.0, np.inf]),
            "memorizing_at": ("class", [np.inf, 30.0]),
            "memorized_at": ("class", [np.nan, 60.0]),
        },
        {"class": [0, 1]},
        {"weights": "raw"},
    )
    watched = SimpleNamespace(status=lambda weights: status, losses=lambda: losses)
    ax = plots.draw_monitor(watched)
    marks = [(line.get_marker(), line.get_xdata()[0]) for line in ax.lines if len(line.get_xdata()) == 1]
    assert marks == [("o", 21.0), ("^", 31.0), ("s", 61.0)]
    assert all(
        y == pytest.approx(0.2) for line in ax.lines if len(line.get_xdata()) == 1 for y in line.get_ydata()
    )
    assert ax.get_legend_handles_labels()[1][:2] == ["0: 150, learned", "1: 15, memorized"]
