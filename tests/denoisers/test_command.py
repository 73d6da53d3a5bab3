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
        "deaf = denoisers.from_v(lambda x, t: network(x, t), planted.ABAR)\n"
        "def refusing(x, t, labels=None):\n"
        "    if labels is not None:\n"
        "        raise ValueError('no classes here')\n"
        "    return network(x, t)\n"
        "refusing = denoisers.from_v(refusing, planted.ABAR)\n"
        "broken = denoisers.from_v(lambda x, t, labels=None: 1 / 0, planted.ABAR)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    x, y = MIXTURE.draw(100)
    np.savez("data.npz", x=x.numpy(), y=y.numpy())
    np.save("data.npy", x.numpy())
    np.savez("words.npz", x=x.numpy(), y=np.array(["cat", "dog", "eel"])[y.numpy()])
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


def test_names_of_classes_are_told_by_their_place(module, capsys):
    assert cli.main(["denoiser", "check", "mine_to_check:good", "--data", "data.npz"]) == 0
    numbered = capsys.readouterr().out
    assert cli.main(["denoiser", "check", "mine_to_check:good", "--data", "words.npz"]) == 0
    assert capsys.readouterr().out == numbered


@pytest.mark.parametrize(
    ("model", "why"), [("deaf", "the network takes no labels"), ("refusing", "no classes here")]
)
def test_a_network_that_takes_no_labels_is_asked_without(module, model, why, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    assert cli.main(["denoiser", "check", f"mine_to_check:{model}", "--data", "data.npz"]) == 0
    out = capsys.readouterr().out
    assert re.search(f"the label matters +- +not asked: .*{why}", out)
    assert "NO" not in out


def test_what_fails_without_labels_as_well_is_told(module):
    with pytest.raises(ZeroDivisionError):
        cli.main(["denoiser", "check", "mine_to_check:broken", "--data", "data.npz"])


def test_bytes_are_brought_to_the_range_that_advise_gives_them(module, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    (module / "of_bytes.py").write_text(
        "from diffclaims import denoisers\n"
        "# what knows Gaussian data on [-1, 1] of deviation 0.3, and the same of bytes as they are\n"
        "def known(x, s): return 0.09 / (0.09 + s[:, None] ** 2) * x\n"
        "plain = denoisers.from_x0(known)\n"
        "own = denoisers.from_x0(known, scale=2 / 255, offset=-1)\n"
    )
    x = np.clip(np.random.default_rng(0).normal(127.5, 38, (200, 16)), 0, 255)
    np.savez("bytes.npz", x=x.astype(np.uint8))
    assert cli.main(["denoiser", "check", "of_bytes:plain", "--data", "bytes.npz"]) == 0
    assert re.search(r"data in \[-1, 0\.9\d*\] \(bytes, brought to \[-1, 1\]\)", capsys.readouterr().out)
    # An adapter that was told of the bytes is given them as they are.
    assert cli.main(["denoiser", "check", "of_bytes:own", "--data", "bytes.npz"]) == 0
    assert "brought" not in capsys.readouterr().out
