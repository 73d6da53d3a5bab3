"""What the numbers of a monitored run mean, in plain words: one source for the columns of its page."""

from __future__ import annotations

from diffclaims.monitor.curves import LEARNED, MEMORIZED, MEMORIZING
from diffclaims.monitor.states import FEW_COPIES, MANY_COPIES
from diffclaims.pages.tables import Column

COLUMNS = {
    "class": Column("class", "A class of the training data."),
    "state": Column(
        "state",
        f"Memorized: at one noise level the class is memorizing and the AUC is at least {MEMORIZED:g}, or "
        f"copies beyond those of held-out samples are at least {MANY_COPIES:.0%}. Memorizing: the gap is at "
        f"least "
        f"{MEMORIZING:g} beyond chance, or such copies are at least {FEW_COPIES:.0%}. Learned: neither, and "
        f"what is "
        f"learned is at least {LEARNED:g}. Unknown: what decides cannot be measured.",
    ),
    "since": Column(
        "since step", "First of the unbroken row of measurements with this state, up to the last one."
    ),
    "generalization": Column(
        "learned so far",
        "How far the held-out loss has come from that of a trivial answer, 0, to that of the best Gaussian "
        "denoiser that was fitted to training samples, 1. A neural network can pass 1. Brackets: 95 % over "
        "resampled samples.",
    ),
    "learned_at": Column(
        "learned at",
        f"Step at which what is learned first reaches {LEARNED:g}, with 95 % over resampled samples.",
    ),
    "memorizing_at": Column(
        "memorizing at",
        f"Step at which the gap first reaches {MEMORIZING:g} beyond chance at one noise level, or copies "
        f"are seen.",
    ),
    "memorized_at": Column(
        "memorized at",
        f"Step at which the AUC first reaches {MEMORIZED:g} where the class is memorizing, or many copies "
        f"are seen.",
    ),
    "best_at": Column(
        "best at",
        "Measured step with the least held-out loss, each noise level relative to the trivial loss; none "
        "where the last one is the least.",
    ),
    "counts": Column("samples", "Training samples and held-out samples, and how many of each are measured."),
    "gap": Column(
        "gap",
        "How much lower losses of training samples are than those of held-out ones: the difference of mean "
        "ln loss, each "
        "against a Gaussian's on the same pair of sample and noise, at the noise level that shows it most. "
        "Nothing is memorized at 0.",
    ),
    "auc": Column(
        "AUC",
        "Probability that a training sample has the lower loss of a training and a held-out sample, at the "
        "same level. "
        "0.5 where nothing is memorized.",
    ),
    "gap_level": Column(
        "at noise", "The noise level of gap and AUC, a standard deviation in units of the data."
    ),
    "gap_ratio": Column(
        "near one",
        "Share of generated samples whose nearest training sample is less than a third as far as the "
        "second nearest.",
    ),
    "auth_pct": Column(
        "authentic",
        "Share of generated samples that are no nearer to their nearest training sample than that is to "
        "its own nearest one. "
        "Copies make it small.",
    ),
    "copied": Column(
        "within radius",
        "Share of generated samples nearer to training samples of the class than 5 % of its held-out ones.",
    ),
    "c_t": Column(
        "c_t",
        "z-score of the distances from generated samples to the class's training samples, against those of "
        "held-out samples: "
        "below 0 is nearer, and −3 or less is hardly chance.",
    ),
    "label_gain": Column(
        "worth of label",
        "Mean ln of the held-out loss under another label over that under the right one. 0 where the label "
        "is no help.",
    ),
}
#: Of measures of generated samples: what is said beside their intervals.
NULL = "“held out” is what held-out samples give in place of generated ones: the value that means nothing is copied."
