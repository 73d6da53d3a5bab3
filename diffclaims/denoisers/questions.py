"""Questions of sanity to a denoiser: does it denoise, at every level, these data and these classes?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from diffclaims.denoisers.denoiser import Denoiser
from diffclaims.denoisers.guess import seems
from diffclaims.denoisers.probe import Probe, device_of
from diffclaims.errors import DiffclaimsError
from diffclaims.problem.arguments import Seed, checked

#: At high noise answers may lie this far from the mean, squared, in variances, beyond what a linear denoiser's do.
FAR_FROM_MEAN = 0.25
#: At low noise an answer may take away this many times the noise, squared.
MUCH_TAKEN = 2.0
#: The error may exceed that of a trivial answer, and that at the next level, by these factors.
ABOVE_TRIVIAL, ABOVE_NEXT = 1.5, 1.1
#: What the network adds to x may be wrong by this part of its square: where a convention multiplies the network's
#: answer (the noise, at high levels; x0, at low ones), a right one has such errors, and a wrong one ten times them.
OUTPUT_ERROR = 0.05
#: Another label must move the answer by more than this, in standard deviations of the data: rounding does less.
LEAST_MOVE = 1e-4


@dataclass(frozen=True)
class Answer:
    """What came of one question.

    Parameters
    ----------
    question : str
    passed : bool or None
        None where it was not asked.
    found : str
        The value and its limit, or why it was not asked.
    fix : str
        What to do where it failed.
    """

    question: str
    passed: bool | None
    found: str
    fix: str = ""


@dataclass(frozen=True)
class Report:
    """All answers.

    Parameters
    ----------
    convention : str
        As the denoiser says it is.
    answers : tuple of Answer
    seems : str
        How one would write the convention that it seems to be, where it is another; else empty.
    """

    convention: str
    answers: tuple[Answer, ...]
    seems: str = ""

    @property
    def ok(self) -> bool:
        """Whether no question failed and no other convention fits better."""
        return not self.seems and all(a.passed is not False for a in self.answers)


@checked
def check(denoiser: Denoiser, x: Any, labels: Any = None, *, seed: Seed = 0, guess: bool = True) -> Report:
    """Ask a denoiser the questions of sanity.

    Parameters
    ----------
    denoiser : Denoiser
        From an adapter.
    x : array_like or tensor, shape (n, ...)
        Training data, in the units that the denoiser is given. Bytes are brought to [-1, 1], unless the adapter was
        given a scale or an offset of its own.
    labels : array_like of int or str, shape (n,), optional
        Their classes; names are told as their positions among the sorted names. A network that takes no labels is
        asked without.
    seed : int
        Of the noise.
    guess : bool
        Whether to look for another convention where a question failed; each costs up to four calls of the network.

    Returns
    -------
    Report
        Errors that the denoiser raises become failed answers.
    """

    def noised(told: Any) -> Probe:
        own = (denoiser.options.scale, denoiser.options.offset) != (1, 0)
        return Probe(x, told, device_of(denoiser), seed, scale_bytes=not own)

    probe = noised(labels)
    levels = probe.levels(denoiser)
    if refused := _refused(denoiser, probe, levels):
        probe = noised(None)  # whose mean is that of all classes
    answers = [_runs(denoiser, probe, levels)]
    if answers[0].passed:
        asked: tuple[Callable[[Denoiser, Probe, list[float]], Answer], ...]
        asked = (_mean_at_high_noise, _input_at_low_noise, _error_falls)
        answers += [question(denoiser, probe, levels) for question in asked]
        answers.append(_labels_matter(denoiser, probe, levels, refused))
    failed = any(a.passed is False for a in answers)
    other = seems(denoiser, probe) if failed and guess else None
    answers.append(_scale(denoiser, probe, other.denoiser if other else None))
    return Report(denoiser.convention, tuple(answers), other.text if other else "")


def _refused(denoiser: Denoiser, probe: Probe, levels: list[float]) -> str:
    """Return why a network is asked without the labels that were given; empty where it takes them."""
    if probe.labels is None:
        return ""
    if not denoiser.network.takes_labels:
        return "the network takes no labels"
    sigma = levels[0]
    try:
        denoiser.denoise(probe.noisy(sigma), sigma, probe.labels)
    except DiffclaimsError:  # which the first question tells
        return ""
    except Exception as error:
        # Many networks name an argument for labels and refuse it.
        try:
            denoiser.denoise(probe.noisy(sigma), sigma, None)
        except Exception:
            raise error from None
        return (
            f"with labels the network raises {error!r} (one_hot=True if it wants rows); it was asked without"
        )
    return ""


def _runs(denoiser: Denoiser, probe: Probe, levels: list[float]) -> Answer:
    question = "it answers at every noise level"
    for sigma in levels:
        try:
            denoiser.denoise(probe.noisy(sigma), sigma, probe.labels)
        except DiffclaimsError as error:
            return Answer(question, False, f"sigma = {sigma:.3g}: {error}", "see the message")
    return Answer(question, True, f"sigma = {levels[0]:.3g} to {levels[-1]:.3g}, {len(levels)} levels")


def _mean_at_high_noise(denoiser: Denoiser, probe: Probe, levels: list[float]) -> Answer:
    question = "at high noise the answer is the mean"
    sigma = levels[-1]
    if sigma < 5 * probe.std:
        found = (
            f"not asked: the largest level is {sigma:.3g}, of data with standard deviation {probe.std:.3g}"
        )
        return Answer(question, None, found)
    away = denoiser.denoise(probe.noisy(sigma), sigma, probe.labels) - probe.means
    value = float(away.square().mean()) / probe.std**2
    limit = FAR_FROM_MEAN + (2 * probe.linear_spread(sigma) + _slack(denoiser, probe, sigma)) / probe.std**2
    found = f"{value:.3g} variances from it at sigma = {sigma:.3g} (limit {limit:.3g})"
    return Answer(
        question, value <= limit, found, "check the convention, the data's offset, and the schedule"
    )


def _input_at_low_noise(denoiser: Denoiser, probe: Probe, levels: list[float]) -> Answer:
    question = "at low noise the answer is the input"
    sigma = levels[0]
    if sigma > 0.3 * probe.std:
        found = f"not asked: the least level is {sigma:.3g}, of data with standard deviation {probe.std:.3g}"
        return Answer(question, None, found)
    y = probe.noisy(sigma)
    value = float((denoiser.denoise(y, sigma, probe.labels) - y).square().mean()) / sigma**2
    limit = MUCH_TAKEN + _slack(denoiser, probe, sigma) / sigma**2
    found = f"it takes away {value:.3g} times the noise at sigma = {sigma:.3g} (limit {limit:.3g})"
    return Answer(question, value <= limit, found, "check the convention and the times that it is told")


def _error_falls(denoiser: Denoiser, probe: Probe, levels: list[float]) -> Answer:
    question = "the error falls with the noise"
    losses = [probe.loss(denoiser, sigma, probe.labels) for sigma in levels]
    slack = [_slack(denoiser, probe, sigma) for sigma in levels]
    limits = [ABOVE_TRIVIAL * probe.trivial(sigma) + more for sigma, more in zip(levels, slack, strict=True)]
    worst = max(range(len(levels)), key=lambda i: losses[i] / limits[i])
    where = f"nearest to its limit at sigma = {levels[worst]:.3g}"
    found = f"{where}, where it is {losses[worst]:.3g} (limit {limits[worst]:.3g})"
    if losses[worst] > limits[worst]:
        fix = "check the convention; a network that has just begun to learn fails here too"
        return Answer(question, False, found, fix)
    for i in range(len(levels) - 1):
        if losses[i] > (limit := ABOVE_NEXT * losses[i + 1] + slack[i]):
            found = f"{losses[i]:.3g} at sigma = {levels[i]:.3g} (limit {limit:.3g}, from the level above)"
            return Answer(question, False, found, "check that it is told the noise level")
    return Answer(question, True, found)


def _slack(denoiser: Denoiser, probe: Probe, sigma: float) -> float:
    """Return the squared error of x0 that an error of the network's answer makes, of a coordinate."""
    y, scale = probe.noisy(sigma), denoiser.options.scale
    skipped = float(denoiser.formula.c_skip(scale * sigma)) * (y - y.mean())
    x0 = denoiser.denoise(y, sigma, probe.labels)
    return OUTPUT_ERROR * float((x0 - x0.mean() - skipped).square().mean())


def _labels_matter(denoiser: Denoiser, probe: Probe, levels: list[float], refused: str) -> Answer:
    question = "the label matters"
    if refused:
        return Answer(question, None, f"not asked: {refused}")
    if probe.labels is None or len(classes := probe.labels.unique()) < 2:
        return Answer(question, None, "not asked: no labels of two classes were given")
    sigma = min(levels, key=lambda s: abs(s / probe.std - 1.5))
    following = dict(zip(classes.tolist(), classes.roll(1).tolist(), strict=True))
    other = probe.labels.new_tensor([following[label] for label in probe.labels.tolist()])
    y = probe.noisy(sigma)
    own, wrong = (denoiser.denoise(y, sigma, labels) for labels in (probe.labels, other))
    moved = float((own - wrong).square().mean().sqrt()) / probe.std
    found = f"another label moves it by {moved:.3g} standard deviations at sigma = {sigma:.3g} (limit {LEAST_MOVE:g})"
    if not moved > LEAST_MOVE:
        return Answer(question, False, found, "labels are ignored: check that they reach the network")
    errors = [float((a - probe.x).square().mean()) for a in (own, wrong)]
    if errors[0] > errors[1]:
        found += f"; error {errors[0]:.3g} with the right label, {errors[1]:.3g} with a wrong one"
        return Answer(question, False, found, "check that labels have the order of the training")
    return Answer(question, True, found)


def _scale(denoiser: Denoiser, probe: Probe, other: Denoiser | None) -> Answer:
    question = "the scale of the data is that of the network"
    low, high = probe.range
    brought = " (bytes, brought to [-1, 1])" if probe.bytes_scaled else ""
    found = f"data in [{low:.3g}, {high:.3g}]{brought}, standard deviation {probe.std:.3g}"
    if other is None:
        return Answer(question, True, found)
    now, then = denoiser.options, other.options
    if (now.scale, now.offset) == (then.scale, then.offset):
        return Answer(question, None, f"{found}; not asked before the convention is right")
    fix = f"add scale={then.scale:.6g}, offset={then.offset:g} to the adapter"
    return Answer(question, False, f"{found}; errors are lower on {then.scale:.3g} x + {then.offset:g}", fix)
