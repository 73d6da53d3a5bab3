"""Maps of each number of axes can be drawn."""

import pytest

from diffclaims.studies.maps import run_map

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")


@pytest.mark.parametrize(
    ("texts", "more"),
    [
        (["ratio=0.3..4"], {}),
        (["ratio=0.3..4", "offset=-1..1.5"], {}),
        (["ratio=0.3..4", "offset=-1..1.5"], {"along": "ratio"}),
        (["ratio=0.3..4", "offset=-1..1.5"], {"points": 12}),
        (["ratio=0.3..4", "scale=0.5..2", "offset=-1..1"], {"n": 4}),
        (["offset=2..3", "ratio=2..4"], {}),
    ],
)
def test_every_kind_of_map_is_drawn(plan, tmp_path, texts, more):
    from diffclaims.plots import command as plots

    ax = plots.draw_map(run_map(plan(*texts, **more), tmp_path / "map.nc"))
    plots.save(ax.figure, tmp_path / "map.png", dpi=40)
    assert (tmp_path / "map.png").stat().st_size > 1000
