"""How the order of two classes moves with weights: read off a recording, and off one that is turned round."""

import numpy as np
import pytest

from diffclaims.cli import main
from diffclaims.errors import InvalidInput
from diffclaims.storage import netcdf as storage
from diffclaims.storage.paths import baselines_dir
from diffclaims.studies.by_weight import compare, outcome
from diffclaims.unet import results

RECORDED = baselines_dir() / "unet" / "recorded"


@pytest.fixture(scope="module")
def cpu():
    return results.load(RECORDED / "cpu")


def test_the_rarer_the_later_is_read_off_a_recording(cpu):
    gen = compare(cpu).sel(milestone="gen", pair="Bag-Trouser")
    assert gen["weight"].values.tolist() == [0.05, 0.1, 0.3, 0.5, 0.9]
    assert (np.diff(gen["measured"].values) < 0).all()
    assert (gen["measured_low"] <= gen["measured"]).all()
    assert (gen["measured"] <= gen["measured_high"]).all()
    assert int(gen["rarer_later"]) == int(gen["reversed"]) == 1


def test_exchanged_weights_are_seen(cpu):
    """A control: what was measured at a weight of 0.1 is given out as measured at 0.9, and the other way round."""
    turned = dict(cpu)
    few, many = (next(k for k in cpu if k.startswith(w)) for w in ("bag0.1-", "bag0.9-"))
    turned[few] = cpu[many].assign_attrs(experiment=cpu[few].attrs["experiment"])
    turned[many] = cpu[few].assign_attrs(experiment=cpu[many].attrs["experiment"])
    assert int(compare(turned).sel(milestone="gen", pair="Bag-Trouser")["rarer_later"]) == -1


def test_sizes_are_not_mixed(cpu):
    one = {k: v for k, v in cpu.items() if k.startswith(("bag0.05-", "balanced-n128"))}
    with pytest.raises(InvalidInput, match="pairs at several weights"):
        compare(one)


def test_times_without_an_order_leave_it_open(cpu):
    mem = compare({k: v for k, v in cpu.items() if "0.9" not in k}).sel(milestone="mem", pair="Bag-Trouser")
    assert np.isneginf(mem["measured"].sel(weight=[0.05, 0.1])).all()
    assert int(mem["rarer_later"]) == 0


@pytest.mark.parametrize(
    ("votes", "word"),
    [([1, 1, 1], "supported"), ([-1, -1], "contradicted"), ([1, -1], "undecided"), ([1, 0], "undecided")],
)
def test_all_pairs_must_agree(votes, word):
    assert outcome(np.array(votes)) == word


def test_the_command_prints_and_stores(tmp_path, capsys):
    assert main(["by-weight", "cpu", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "the rarer a class, the later: supported, 1 of 1 pairs" in out
    assert "tau_gen by iso_0.8: rarer later 1, not 0; reversed 1, not 0" in out
    stored = storage.read_dataset(tmp_path / "cpu-by-weight.nc")
    assert stored.attrs["command"].startswith("diffclaims by-weight cpu")
    assert stored["measured"].sizes["weight"] == 5


def test_a_campaign_of_one_weight_is_refused(capsys):
    assert main(["by-weight", "digits"]) != 0
    assert "pairs at several weights" in capsys.readouterr().err


def test_the_picture_has_a_line_for_each_pair(cpu, tmp_path):
    pytest.importorskip("matplotlib")
    from diffclaims import plots

    found = compare(cpu)
    ax = plots.draw_by_weight(found)
    (bars,) = ax.containers
    np.testing.assert_allclose(bars.lines[0].get_ydata(), found["measured"].sel(milestone="gen").values[0])
    plots.save(ax.figure, tmp_path / "p.png")
    storage.write(tmp_path / "b.nc", found)
    assert main(["plot", str(tmp_path / "b.nc"), "--out", str(tmp_path / "q.png")]) == 0
    assert (tmp_path / "q.png").stat().st_size > 5000
