"""What the words of the grid and of the pages mean: the one source of `diffclaims explain` and of the glossary."""

from __future__ import annotations

import argparse
import difflib
import textwrap
from collections.abc import Mapping

from diffclaims.api.claim import load_claims
from diffclaims.errors import InvalidInput

WORDS: Mapping[str, str] = {
    "accuracy": "Numerical error that an exact subject states for its losses or probabilities.",
    "baseline": "What a case gave when it was recorded. `pytest claims` compares with it, within the stated errors.",
    "Bayes loss": "Loss of the best linear denoiser of a class. What lies between 1 and it can be learned.",
    "campaign": "A list of training runs that are measured and recorded together.",
    "case": "One place where a claim is checked: one experiment or several, and what is expected there.",
    "cases": "n of m cases: only n of the m cases in the regime could be measured, or were selected.",
    "claim": "One sentence about how classes are learned, with the check of it.",
    "control": "A negative control: a case in which the check must not hold, or it would hold anywhere.",
    "controls": "n/m: of m negative controls that were run, n were rejected, as they must be. How many were not run "
    "follows.",
    "counterexample": "A case in the regime in which the claim fails, found by --explore. It counts.",
    "decision threshold": "How far an effect must lie beyond its threshold to count as decided: the distance from "
    "the median over seeds to its limit, which is wrong in at most 1 % of cases; or the stated accuracy.",
    "differs": "The result is not the recorded one, beyond the errors that both state.",
    "diffusion time": "How much noise was added: t in x_t = exp(-t) x_0 + sqrt(1 - exp(-2t)) noise.",
    "effect": "The number that is judged, for instance ln(tau_later/tau_first), with its uncertainty.",
    "expected failure": "A case that is known to fail, listed with the reason. It still shows as fails.",
    "evidence": "What a bet that a median lies above its threshold has won. It reaches 100 with a probability of at "
    "most 1 % where that is wrong, however often one looks. 100 decides.",
    "experiment": "One question to a subject: a mixture of classes, and a model.",
    "explored": "The regime was searched by --explore for the case of least margin.",
    "fails": "An effect lies below its threshold by more than the decision threshold: the opposite was seen.",
    "gap": "Test loss minus training loss of a class, in units of what there is to learn.",
    "holds": "Every effect lies above its threshold by more than the decision threshold.",
    "identity": "An equation that every answer of the random-features model obeys, known without solving it. A "
    "subject that breaks one is invalid.",
    "inconclusive": "Neither holds nor fails. The message says how many more seeds would decide.",
    "invalid": "The subject broke its contract, so that nothing is concluded about the claim.",
    "margin": "Effect minus threshold, of the case that decides: the worst outcome, and of those the least margin.",
    "missing": "There is no baseline to compare with.",
    "median": "The value that half of the seeds exceed: what a typical seed gives.",
    "mutant": "A subject that is wrong on purpose. A claim must not let those pass that it names.",
    "not run": "Nothing was measured; the number in brackets leads to the reason.",
    "null": "A case in which nothing differs between the classes, so that an order must not hold.",
    "outside": "A case outside the regime. It is measured and recorded, and does not count.",
    "phase diagram": "A map of a claim over one to three parameters, with the boundary where its verdict changes.",
    "psi_n": "Training samples per dimension, n/d.",
    "psi_p": "Features of the model per dimension, p/d.",
    "recorded": "Played back from files, because measuring takes long.",
    "regime": "Where a claim is meant to hold. Only cases in it count for the verdict.",
    "return probability": "Probability that a U-turn ends in the class that it started from.",
    "seed": "One repetition of a stochastic measurement, with its own random numbers.",
    "size": "How large an effect is in theory. A subject of the theory's model must come near it, or the case fails.",
    "speciation": "The moment in backward diffusion at which a sample's class is decided.",
    "subject": "What a claim is asked of: theory, finite size, U-Nets, or a model of your own.",
    "tau_best": "Training time at which the test loss of a class is least.",
    "tau_gen": "Training time at which a class is generalized: a stated part of what there is to learn is learned.",
    "tau_mem": "Training time at which a class is memorized: the gap reaches a stated size.",
    "threshold": "What an effect must exceed; 0 for an order.",
    "training time": "How long the model was trained: gradient flow time in theory, optimizer steps for a network.",
    "weakest": "The case of least margin that --explore found.",
    "U-turn": "A sample is noised up to a diffusion time and denoised again; does it return to its class?",
}


def meaning(word: str, folder: str = "") -> str:
    """Return what a word, or a claim by its id, means.

    Parameters
    ----------
    word : str
    folder : str
        Of claims, beside those of the package.

    Raises
    ------
    InvalidInput
        For a word that is neither, with the nearest ones.
    """
    by_name = {name.lower(): name for name in WORDS}
    if word.lower() in by_name:
        name = by_name[word.lower()]
        return f"{name}: {WORDS[name]}"
    claims = {c.id: c for c in (*load_claims(), *(load_claims(folder) if folder else ()))}
    if word in claims:
        c = claims[word]
        return f"{c.id}: {c.says}\nsource: {c.source}\ndefinitions: {c.definitions}\nregime: {c.regime}"
    near = difflib.get_close_matches(word.lower(), [*by_name, *claims], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise InvalidInput.of(
        "word", word, "be a word of the glossary or the id of a claim", f"{hint}diffclaims explain lists them"
    )


def glossary() -> str:
    """Return the glossary as the page ``docs/glossary.md``."""
    lines = ["# Glossary", "", "One meaning each. `diffclaims explain WORD` prints the same.", ""]
    return "\n".join([*lines, *(f"- **{name}**: {text}" for name, text in WORDS.items())]) + "\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``diffclaims explain``."""
    parser.add_argument(
        "word", metavar="WORD", nargs="*", help="a word, or the id of a claim; all by default"
    )
    parser.add_argument(
        "--claims", default="", metavar="FOLDER", help="a folder of claims, beside those of the package"
    )
    parser.add_argument("--markdown", action="store_true", help="print the glossary as a page")


def run(args: argparse.Namespace) -> int:
    """Run ``diffclaims explain``."""
    if args.markdown:
        print(glossary(), end="")
        return 0
    text = (
        meaning(" ".join(args.word), args.claims)
        if args.word
        else "\n".join(f"{w}: {t}" for w, t in WORDS.items())
    )
    for line in text.splitlines():
        print(
            textwrap.fill(line, 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        )
    return 0
