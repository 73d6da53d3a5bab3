"""The command `diffclaims`: one subcommand for each thing that is not a pytest run."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from diffclaims import threads
from diffclaims._version import __version__
from diffclaims.errors import DiffclaimsError
from diffclaims.terminal import ends_quietly, tell

#: Subcommand -> (module with ``add_arguments(parser)`` and ``run(args) -> int``, what it does).
#: Imported only when asked for.
COMMANDS: dict[str, tuple[str, str]] = {
    "mutants": ("diffclaims.studies.mutants", "check that every claim rejects subjects that are wrong"),
    "wrongness": ("diffclaims.studies.wrongness", "the smallest wrongness of each kind that each claim sees"),
    "calibrate": (
        "diffclaims.studies.calibrate",
        "how often claims are decided as they should be, and where nothing differs",
    ),
    "error-rates": (
        "diffclaims.studies.error_rates",
        "how often the verdict rule is wrong on seeds of nothing",
    ),
    "shares": (
        "diffclaims.studies.shares",
        "how many points of a claim's regime hold, and how many outside it",
    ),
    "converge": ("diffclaims.studies.converge", "how fast finite size approaches the theory, in named cases"),
    "score-errors": (
        "diffclaims.studies.score_errors",
        "which errors of a score reverse minority-speciation, and how large they must be",
    ),
    "compare": (
        "diffclaims.studies.compare",
        "real images at finite size beside the theory of their moments",
    ),
    "advise": (
        "diffclaims.advice.command",
        "which classes of a data set will be learned late, memorized first, and which weights would help",
    ),
    "trust": (
        "diffclaims.studies.trust",
        "how far recorded U-Nets support what diffclaims advise says",
    ),
    "trial": (
        "diffclaims.studies.trial",
        "train with the class weights that diffclaims advise names, and with a data set's own",
    ),
    "predict": (
        "diffclaims.studies.predict",
        "orders in which U-Nets learned classes beside those that theory predicts",
    ),
    "orders": (
        "diffclaims.studies.orders",
        "what orders the classes of recorded U-Nets: all pairs beside what may predict their order",
    ),
    "by-weight": (
        "diffclaims.studies.by_weight",
        "how the order of two classes moves with the share of one of them, in recorded U-Nets",
    ),
    "definitions": (
        "diffclaims.studies.definitions",
        "the claims under every definition of a time that a recording states",
    ),
    "denoiser": (
        "diffclaims.studies.denoiser",
        "ask a denoiser of yours whether it denoises, and which convention it seems to have",
    ),
    "diff": ("diffclaims.suite.changes", "what differs between two baselines, or two folders of them"),
    "explain": ("diffclaims.suite.words", "what a word of the grid means, or what a claim says"),
    "record": ("diffclaims.studies.record", "measure a subject for every claim and keep what it answered"),
    "explore": ("diffclaims.suite.explore", "search the regime of a claim for its weakest margin"),
    "map": ("diffclaims.studies.maps.command", "map a claim over one to three parameters"),
    "report": (
        "diffclaims.studies.report",
        "one HTML page of a monitored run, a claims run or an advice",
    ),
    "plot": ("diffclaims.plots.command", "draw a map or learning curves"),
}


@ends_quietly
def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        0 for success, 1 when a check failed, 2 for input that cannot be used, 141 when nobody reads the output.
    """
    if argv is None:
        threads.in_this_process()
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="diffclaims", description=__doc__)
    parser.add_argument("--version", action="version", version=f"diffclaims {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    asked = next((w for w in words if not w.startswith("-")), None)
    for name, (module, summary) in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, description=summary)
        if name == asked:
            importlib.import_module(module).add_arguments(sub)
    args = parser.parse_args(words)
    try:
        return int(importlib.import_module(COMMANDS[args.command][0]).run(args))
    except DiffclaimsError as error:
        tell(f"diffclaims {args.command}: {error}")
        return 2


if __name__ == "__main__":
    sys.exit(main())
