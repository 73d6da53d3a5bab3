"""``diffclaims denoiser check``: from files, objects and its own samples."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from diffclaims import cli  # noqa: E402
from tests.denoisers import planted  # noqa: E402

MIXTURE = planted.Mixture()


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "mine_to_check.py").write_text(
        "from diffclaims import denoisers\n"
        "from tests.denoisers import planted\n"
        "MIXTURE = planted.Mixture()\n"
        "network = planted.vp(MIXTURE, 'v')\n"
        "good = denoisers.from_v(network, planted.ABAR)\n"
        "bad = denoisers.from_eps(network, planted.ABAR)\n"
        "data = MIXTURE.draw(100)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    x, y = MIXTURE.draw(100)
    np.savez("data.npz", x=x.numpy(), y=y.numpy())
    np.save("data.npy", x.numpy())
    return tmp_path


@pytest.mark.parametrize(
    "data",
    [["--data", "data.npz"], ["--data", "mine_to_check:data"], ["--data", "data.npy"], ["--shape", "16"]],
)
def test_the_command(module, data, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["denoiser", "check", "mine_to_check:good", *data]) == 0
    out = capsys.readouterr().out
    assert "read as v" in out
    assert "NO" not in out
    assert cli.main(["denoiser", "check", "mine_to_check:bad", *data]) == 1
    out = capsys.readouterr().out
    own = data[0] == "--shape"
    assert ("It seems to be from_v(f, alphas_cumprod)." in out) == (not own)
    assert ("its own samples" in out) == own


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mine_to_check:good"], r"data = None.*--data FILE.npz, or --shape 1,28,28"),
        (["mine_to_check:good", "--shape", "a"], "shape = 'a'.*positive integers"),
        (["mine_to_check:good", "--data", "none.npz"], "data = 'none.npz'.*check the path"),
        (["mine_to_check:network", "--shape", "16"], "model = 'function'.*denoisers.from_eps"),
        (["mine_to_check:nothing"], "mine_to_check has no 'nothing'"),
        (["no_such_module:x"], "no module 'no_such_module'"),
    ],
)
def test_the_command_says_what_is_missing(module, words, message, capsys):
    assert cli.main(["denoiser", "check", *words]) == 2
    assert re.search(message, capsys.readouterr().err)
