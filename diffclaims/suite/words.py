"""What the words of the grid, of pages, of `advise` and of the Monitor mean.

The one source of `diffclaims explain` and of the glossary.
"""

from __future__ import annotations

import argparse
import difflib
import textwrap
from collections.abc import Mapping

from diffclaims.api.claim import load_claims
from diffclaims.errors import InvalidInput

WORDS: Mapping[str, str] = {
    "accuracy": "Numerical error that an exact subject states for its losses or probabilities.",
    "AUC": "Probability that a training sample has the lower loss of a training and a held-out one: 0.5 where "
    "nothing is memorized, 1 where every training sample is known.",
    "backward diffusion": "How a diffusion model makes a sample: it starts from noise and takes away a little "
    "at a time. The class of the sample is decided on the way.",
    "baseline": "What a case gave when it was recorded. `pytest claims` compares with it, within the stated errors.",
    "Bayes loss": "Loss of the best linear denoiser of a class. What lies between 1 and it can be learned.",
    "campaign": "A list of training runs that are measured and recorded together.",
    "case": "One place where a claim is checked: one experiment or several, and what is expected there.",
    "cases": "n of m cases: only n of the m cases in the regime could be measured, or were selected.",
    "centroid": "Mean of the samples of a class. `advise` names the class whose centroid is least far, and "
    "how far that is in standard deviations (sd) of the class along the line between them.",
    "claim": "One sentence about how classes are learned, with the check of it.",
    "control": "A negative control: a case in which the check must not hold, or it would hold anywhere.",
    "controls": "n/m: of m negative controls that were run, n were rejected, as they must be. How many were "
    "not run follows.",
    "copies": "Generated samples less than a third as far from their nearest training sample as from the "
    "second nearest. The Monitor counts what there is beyond those among held-out samples.",
    "counterexample": "A case in the regime in which the claim fails, found by --explore. It counts.",
    "coverage": "How far the samples of a class are apart: the mean distance from a sample to the nearest "
    "other one of its class, over the root mean squared distance of two samples. 0 where each has a twin, near 1 "
    "where none tells of another. The class with the least is covered best.",
    "d": "Dimension: how many numbers one sample has. An image of 28 x 28 pixels has d = 784.",
    "decision threshold": "How far an effect must lie beyond its threshold to count as decided: the distance "
    "from the median over seeds to its limit, which is wrong in at most 1 % of cases; or the stated accuracy.",
    "denoiser": "What estimates the clean sample x_0 from a noisy one. A diffusion model is a denoiser for "
    "every noise level.",
    "differs": "The result is not the recorded one, beyond the errors that both state.",
    "diffusion time": "How much noise was added: t in x_t = exp(-t) x_0 + sqrt(1 - exp(-2t)) noise.",
    "effect": "The number that is judged, for instance ln(tau_later/tau_first), with its uncertainty.",
    "expected failure": "A case that is known to fail, listed with the reason. It still shows as fails.",
    "effective dimension": "How many directions carry the variance of a class: (sum of the eigenvalues of its "
    "covariance)^2 over the sum of their squares. It is d where all directions vary alike, 1 where one alone does.",
    "evidence": "What a bet that a median lies above its threshold has won. It reaches 100 with a probability "
    "of at most 1 % where that is wrong, however often one looks. 100 decides.",
    "experiment": "One question to a subject: a mixture of classes, and a model.",
    "explored": "The regime was searched by --explore for the case of least margin.",
    "fails": "An effect lies below its threshold by more than the decision threshold: the opposite was seen.",
    "gap": "Test loss minus training loss of a class, in units of what there is to learn. In the Monitor the "
    "mean difference of their ln loss, at the noise level that shows it most.",
    "holds": "Every effect lies above its threshold by more than the decision threshold.",
    "identity": "An equation that every answer of the random-features model obeys, known without solving it. "
    "A subject that breaks one is invalid.",
    "inconclusive": "Neither holds nor fails. The message says how many more seeds would decide.",
    "invalid": "The subject broke its contract, so that nothing is concluded about the claim.",
    "learned": "Of a class: a stated part of what there is to learn of it is learned, as held-out samples "
    "show. In `advise` half of it. In the Monitor 0.8 of the way from a trivial answer to a Gaussian's, while "
    "nothing is memorized.",
    "margin": "Effect minus threshold, of the case that decides: the worst outcome, and of those the least margin.",
    "missing": "There is no baseline to compare with.",
    "median": "The value that half of the seeds exceed: what a typical seed gives.",
    "memorized": "Of a class: training samples are denoised better than others of the class, by a stated gap. "
    "In `advise` 0.1 of what there is to learn. In the Monitor the class is memorizing and the AUC reaches 0.9 at "
    "one noise level, or half of the generated samples are copies.",
    "memorizing": "State of a class in the Monitor: at one noise level the gap is 0.25 or more, or 5 % of the "
    "generated samples are copies, beyond chance.",
    "mutant": "A subject that is wrong on purpose. A claim must not let those pass that it names.",
    "n": "Number of training samples, of all classes together. In `n of m cases` it counts cases.",
    "not learned": "State of a class in the Monitor: neither learned nor memorizing nor memorized.",
    "not run": "Nothing was measured; the number in brackets leads to the reason.",
    "null": "A case in which nothing differs between the classes, so that an order must not hold.",
    "outside": "A case outside the regime. It is measured and recorded, and does not count.",
    "p": "Number of features of the random-features model. Each has d weights of its own "
    "that are fixed, on what it sees, and d that are trained, on what it gives: p d trained numbers in all.",
    "phase diagram": "A map of a claim over one to three parameters, with the boundary where its verdict changes.",
    "power": "How often so many seeds decide a case as it is in truth. `diffclaims mutants --calibration` prints it.",
    "psi_n": "Training samples per dimension, n/d.",
    "psi_p": "Features of the model per dimension, p/d.",
    "recorded": "Played back from files, because measuring takes long.",
    "regime": "Where a claim is meant to hold. Only cases in it count for the verdict.",
    "return probability": "Probability that a U-turn ends in the class that it started from.",
    "safe window": "Training times at which every class is learned and none is memorized: when to stop. In "
    "the Monitor it ends earlier, when the first class is memorizing. It may not exist.",
    "score": "The direction in which a noisy sample becomes more likely, the gradient of the logarithm of its "
    "density: (x_0 as a denoiser estimates it, minus the noisy sample)/sigma^2.",
    "seed": "One repetition of a stochastic measurement, with its own random numbers.",
    "sigma": "Noise level: standard deviation of the noise in x_0 + sigma noise, in units of the data. At "
    "diffusion time t it is sqrt(exp(2t) - 1).",
    "size": "How large an effect is in theory. A subject of the theory's model must come near it, or the case fails.",
    "speciate": "A class speciates when backward diffusion decides for it. The time is the largest diffusion "
    "time up to which samples of the class return to it in U-turns with a stated probability, 0.75 by default; a "
    "small one is late in backward diffusion.",
    "speciation": "The moment in backward diffusion at which a sample's class is decided.",
    "subject": "What a claim is asked of: theory, finite size, U-Nets, or a model of your own.",
    "tau_best": "Training time at which the test loss of a class is least.",
    "tau_gen": "Training time at which a class is generalized: a stated part of what there is to learn is learned.",
    "tau_mem": "Training time at which a class is memorized: the gap reaches a stated size.",
    "threshold": "What an effect must exceed; 0 for an order.",
    "training time": "How long the model was trained: gradient flow time in theory, optimizer steps for a network.",
    "unknown": "State of a class in the Monitor: what decides cannot be measured, as with too few held-out samples.",
    "variance": "Mean squared distance of a class's samples from their centroid, over d. The total variance "
    "is d times this.",
    "weakest": "The case of least margin that --explore found.",
    "weight": "Share of a class in the training data.",
    "Wiener filter": "The best linear denoiser of a class, from its mean and its covariance: along a "
    "direction of variance v it keeps v/(v + sigma^2) of how far the noisy sample lies from the mean. Its loss is "
    "the Bayes loss.",
    "U-turn": "A sample is noised up to a diffusion time and denoised again; does it return to its class?",
}
#: Other forms in which a word is printed or asked for.
ALSO: Mapping[str, str] = {
    "eff. dim.": "effective dimension",
    "nearest class": "centroid",
    "noise level": "sigma",
    "speciates": "speciate",
    "weights": "weight",
    "Wiener": "Wiener filter",
    "window": "safe window",
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
    by_name = {name.lower(): name for name in WORDS} | {form.lower(): name for form, name in ALSO.items()}
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
