"""How commands end, and what they show."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from diffclaims import terminal

COMMANDS = {
    "unet": ["-m", "diffclaims.unet", "train", "--results", "x", "--dry-run"],
    "help": ["-m", "diffclaims.cli", "--help"],
    "claims": ["-m", "diffclaims.cli", "explain", "tau_gen"],
}


@pytest.mark.parametrize(
    ("command", "unbuffered"),
    [
        *(("help", ""), ("help", "1"), ("claims", ""), ("unet", "1")),
        *(pytest.param(*p, marks=pytest.mark.slow) for p in (("claims", "1"), ("unet", ""))),
    ],
)
def test_a_command_ends_quietly_when_nobody_reads(command, unbuffered):
    words = COMMANDS[command]
    reader, writer = os.pipe()
    os.close(reader)
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run([sys.executable, *words], stdout=writer, stderr=subprocess.PIPE, text=True, env=env)
    os.close(writer)
    assert done.stderr == ""
    # argparse itself passes over what it cannot write.
    assert done.returncode == 141 or (words[-1] == "--help" and done.returncode == 0)


def test_another_pipe_that_breaks_is_an_error():
    @terminal.ends_quietly
    def command():
        raise BrokenPipeError("of a worker")

    with pytest.raises(BrokenPipeError, match="of a worker"):
        command()


def test_plain_characters_where_the_output_shows_no_others(monkeypatch):
    def shown():
        table = terminal.table("a", title="of [95 %]")
        table.add_row("a long word")
        return terminal.rendered(table, "[1] \u03c4", width=60)

    assert "\u03c4" in shown()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    text = shown()
    assert text.isascii()
    assert "of [95 %]" in text
    assert "[1] ?" in text


def test_no_bar_is_drawn_where_nobody_looks(capsys):
    with terminal.progress("points") as advance:
        advance(1, 2)
    terminal.tell("done")
    assert capsys.readouterr().err == "done\n"
