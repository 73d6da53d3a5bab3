import numpy as np
import pytest

from diffclaims.theory.angle import Root, Wave, integral, nodes, position, slope

LO, HI = 0.5, 8.0


def unknown(x, near=0.2):
    """A Stieltjes transform of a semicircle on [LO, HI], and one with a pole not far from it."""
    middle, half = (LO + HI) / 2, (HI - LO) / 2
    y = (x - middle) / half
    root = np.where(
        np.abs(y) < 1, 1j * np.sqrt(np.maximum(1 - y**2, 0)), -np.sign(y) * np.sqrt(np.abs(y**2 - 1))
    )
    m = -2 * (y + root * np.where(np.abs(y) < 1, -1, 1))
    return np.stack([m, m / (x + near)], axis=1)


def over(parts):
    """An integral over x, with a pole beside the axis, which makes it harder."""
    x = position(nodes(parts), LO, HI)
    return integral(np.sqrt((x - LO) * (HI - x)) / ((x - 3) ** 2 + 0.25) * slope(nodes(parts), LO, HI))


def test_an_integral_is_off_by_less_than_it_says():
    exact, _ = over(4096)
    error = {}
    for parts in (16, 32, 64, 128):
        value, error[parts] = over(parts)
        assert abs(value - exact) < error[parts]
    # The error falls geometrically.
    assert error[128] < 1e-3 * error[64] < 1e-3 * error[32]


def test_waves_interpolate():
    wave = Wave(LO, HI, unknown(position(nodes(64), LO, HI)))
    at = np.linspace(LO, HI, 50)[1:-1]
    np.testing.assert_allclose(wave(at), unknown(at), atol=1e-5)
    np.testing.assert_allclose(wave.doubled(), unknown(position(nodes(128), LO, HI)), atol=1e-5)


@pytest.mark.parametrize(("edge", "inwards"), [(LO, 1), (HI, -1)])
def test_an_edge_is_continued_on_both_sides(edge, inwards):
    inside = edge + inwards * 0.02 * np.arange(1, 5)
    root = Root(edge, inside, unknown(inside))
    at = edge + inwards * np.array([-0.04, -0.01, 0.005, 0.03])
    np.testing.assert_allclose(root(at), unknown(at), atol=1e-3)
    np.testing.assert_array_equal(root.outside(at), [True, True, False, False])
    assert not root.outside(np.array([edge - inwards * 0.5])).any()
