"""What a folder of measurements says: losses, states, window. Needs neither the data nor PyTorch."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import t

from diffclaims.errors import DiffclaimsError, InvalidInput
from diffclaims.monitor.curves import LEARNED, ClassCurves, loss_band
from diffclaims.monitor.data import SPLITS
from diffclaims.monitor.forecast import forecast
from diffclaims.monitor.pairs import FLOOR
from diffclaims.monitor.returns import turned
from diffclaims.monitor.states import (
    UNKNOWN,
    ClassStates,
    CopyEvidence,
    class_states,
    copy_evidence,
    last_state,
)
from diffclaims.monitor.store import Arrays, Measurement, Store
from diffclaims.monitor.window import Window, window
from diffclaims.times.networks import least

Floats = NDArray[np.float64]

_FROM_SAMPLES = ("gap_ratio", "auth_pct", "copied", "c_t")
_NOTHING = "nothing was measured yet: call monitor.measure(step, denoiser) first"


class Record:
    """Measurements of one training.

    Parameters
    ----------
    folder : path
        As a `Monitor` was given.
    """

    def __init__(self, folder: str | os.PathLike[str] | Store) -> None:
        self.store = folder if isinstance(folder, Store) else Store(folder)

    @property
    def about(self) -> dict[str, Any]:
        """Which training it is."""
        found = self.store.about()
        if found is None:
            raise DiffclaimsError(f"{self.store.folder}: {_NOTHING}")
        return found

    def measurements(self, weights: str | None = None) -> list[Measurement]:
        """Return all measurements of some weights, in the order of steps."""
        found = [self.store.read(step) for step in self.store.steps()]
        return [m for m in found if weights is None or weights in m.info["weights"]]

    def weights(self, chosen: str | None) -> str:
        """Return whose measurements are shown: averaged weights where the last measurement has them."""
        found = self.measurements()
        if not found:
            raise DiffclaimsError(f"{self.store.folder}: {_NOTHING}")
        known = sorted({w for m in found for w in m.info["weights"]})
        if chosen is None:
            return "ema" if "ema" in found[-1].info["weights"] else "raw"
        if chosen not in known:
            raise InvalidInput.of("weights", chosen, f"be one of {', '.join(known)}", "choose one")
        return chosen

    def losses(self) -> xr.Dataset:
        """Return mean losses and gaps by step, weights, class and level.

        Returns
        -------
        xarray.Dataset
            ``train_loss`` and ``held_out_loss``, squared error of a coordinate of x0; ``gap``, ``auc``; all with the
            dimensions ``weights``, ``class``, ``step``, ``sigma``.
        """
        about, found = self.about, self.measurements()
        known = sorted({w for m in found for w in m.info["weights"]}, reverse=True)
        shape = (len(known), len(about["classes"]), len(found), len(about["levels"]))
        out = {name: np.full(shape, np.nan) for name in ("train_loss", "held_out_loss", "gap", "auc")}
        for i, w in enumerate(known):
            at = [j for j, m in enumerate(found) if w in m.info["weights"]]
            for k in range(len(about["classes"])):
                for split in ("train", "held_out"):
                    values = self.by_class([found[j] for j in at], w, split, "loss", k)
                    if values.shape[2]:
                        out[f"{split}_loss"][i, k, at] = values.mean(axis=2)
                curves = self.curves([found[j] for j in at], w, k)
                if curves.n and curves.m:
                    out["gap"][i, k, at], out["auc"][i, k, at] = curves.gap(), curves.auc()
        dims = ("weights", "class", "step", "sigma")
        coords = {
            "weights": known,
            "class": about["classes"],
            "step": [m.step for m in found],
            "sigma": about["levels"],
        }
        return xr.Dataset({k: (dims, v) for k, v in out.items()}, coords)

    def uturns(self, weights: str | None = None) -> xr.Dataset:
        """Return where U-turns ended, by step, class and noise level; as `diffclaims.monitor.returns.turned`."""
        chosen = self.weights(weights)
        return turned(self.measurements(chosen), chosen, self.about)

    def loss_bands(self, weights: str | None = None) -> xr.Dataset:
        """Return the losses of each class over the steps, means over noise levels of their logarithms.

        Returns
        -------
        xarray.Dataset
            ``train_loss`` and ``held_out_loss`` with ``_low`` and ``_high`` (95 % over resampled samples), by
            ``class`` and ``step``; NaN where a class has no samples.
        """
        chosen = self.weights(weights)
        about, found = self.about, self.measurements(chosen)
        out: dict[str, Any] = {}
        for split in SPLITS:
            bands = [
                loss_band(self.by_class(found, chosen, split, "loss", k), seed=k)
                for k in range(len(about["classes"]))
            ]
            for end, values in zip(("", "_low", "_high"), zip(*bands, strict=True), strict=True):
                out[f"{split}_loss{end}"] = (("class", "step"), np.array(values))
        return xr.Dataset(out, {"class": about["classes"], "step": [m.step for m in found]})

    def near(self, weights: str | None = None) -> tuple[list[dict[str, Any]], Arrays]:
        """Return pictures of the last generated samples that are nearest to a training sample.

        Returns
        -------
        about, arrays
            As `Pictures.nearest` has them; empty where none were kept.
        """
        chosen = self.weights(weights)
        for m in reversed(self.measurements(chosen)):
            if samples := m.info["samples"].get(chosen):
                arrays = {
                    key: m.arrays[f"{chosen}_near_{key}"]
                    for key in ("samples", "train")
                    if samples.get("near")
                }
                return list(samples.get("near", [])), arrays
        return [], {}

    def status(self, weights: str | None = None) -> xr.Dataset:
        """Return the state of every class at the last measurement.

        Parameters
        ----------
        weights : {"raw", "ema"}, optional
            The averaged weights where they were measured, by default.

        Returns
        -------
        xarray.Dataset
            By ``class``: ``state``, ``since`` and ``since_after``; ``learned``; ``generalization``, ``gap``, ``auc``
            (at the noise level ``gap_level``), and the times ``learned_at``, ``memorizing_at``, ``memorized_at`` and
            ``best_at``, with ``_low`` and ``_high`` (95 %); measures of the last generated samples;
            ``label_gain``, what the right label is worth on held-out samples; and numbers of samples.
        """
        chosen = self.weights(weights)
        about, found, classes = self.about, self.measurements(chosen), self.class_states(chosen)
        rows = [self._row(found, chosen, k, states) for k, states in enumerate(classes)]
        missing = [f"{name}: {s.why}" for name, s in zip(about["classes"], classes, strict=True) if s.why]
        missing += about["missing"]
        samples = _last_samples(found, chosen)
        if samples is None:
            missing.append("no samples were generated yet, so that copies are not counted")
        elif samples["missing"]:
            missing.append(samples["missing"])
        useless = [r["label_gain_low"] <= 0 for r in rows]
        missing += [
            f"{name}: the label is no help that can be seen on held-out samples; do labels belong to samples?"
            for name, bad in zip(about["classes"], useless, strict=True)
            if bad
        ]
        schedule = found[-1].info["schedule"]
        account = schedule["account"]
        attributes = {
            "step": found[-1].step,
            "weights": chosen,
            "samples_at": -1 if samples is None else samples["step"],
            "class_of_samples": "" if samples is None else samples["class_rule"],
            "missing": "; ".join(dict.fromkeys(missing)),
            "seconds": round(account["elapsed"], 1),
            "share_of_time": round(account["spent"] / max(account["elapsed"], 1e-9), 4),
            "left_out": schedule["left_out"],
        }
        names = list(rows[0])
        return xr.Dataset(
            {name: ("class", [row[name] for row in rows]) for name in names},
            {"class": about["classes"]},
            attributes,
        )

    def scalars(self, weights: str | None = None) -> dict[str, float]:
        """Return what a tracker plots of the last measurement, without times and intervals, which take longer.

        Returns
        -------
        dict
            ``monitor/<class>/`` with ``state`` (0 to 3, from *not learned* to *memorized*, -1 for *unknown*),
            ``generalization``, ``gap``, ``auc``, and ``train_loss`` and ``held_out_loss``, means over noise levels.
        """
        chosen = self.weights(weights)
        found, classes = self.measurements(chosen), self.about["classes"]
        out: dict[str, float] = {}
        for k, name in enumerate(classes):
            curves = self.curves(found[-1:], chosen, k)
            states, columns = last_state(curves, self._copies(found, chosen, k)[-1])
            loss = {s: self.by_class(found[-1:], chosen, s, "loss", k) for s in ("train", "held_out")}
            values = {"state": states, **columns}
            values |= {f"{s}_loss": float(x.mean()) for s, x in loss.items() if x.size}
            out |= {f"monitor/{name}/{key}": value for key, value in values.items() if np.isfinite(value)}
        return out

    def window(self, weights: str | None = None) -> Window:
        """Return the safe stopping window, or why there is none; as `status`."""
        chosen = self.weights(weights)
        found, classes = self.measurements(chosen), self.class_states(chosen)
        names = self.about["classes"]
        times = {
            c: s.times if s.states[-1] != UNKNOWN else {k: np.array([np.nan]) for k in s.times}
            for c, s in zip(names, classes, strict=True)
        }
        base = window(times, found[-2].step if len(found) > 1 else -1)
        curves = {c: self.curves(found, chosen, k) for k, c in enumerate(names)}
        text, step = forecast(curves, {c: s.states[-1] for c, s in zip(names, classes, strict=True)})
        return replace(base, next_event=text, next_step=step, next_seconds=_seconds(found, step))

    def class_states(self, weights: str) -> list[ClassStates]:
        """Return the states of every class over all measurements of some weights."""
        found, n_classes = self.measurements(weights), len(self.about["classes"])
        out = []
        for k in range(n_classes):
            copies = self._copies(found, weights, k)
            out.append(class_states(self.curves(found, weights, k), copies, seed=k))
        return out

    def _copies(self, found: list[Measurement], weights: str, k: int) -> list[CopyEvidence | None]:
        """Return what is known of copies of a class at each measurement."""
        n_classes = len(self.about["classes"])
        copies: list[CopyEvidence | None] = []
        for m in found:
            samples = m.info["samples"].get(weights)
            new = None if samples is None else copy_evidence(m.step, samples, k, n_classes)
            copies.append(new if new is not None else copies[-1] if copies else None)
        return copies

    def _row(self, found: list[Measurement], weights: str, k: int, states: ClassStates) -> dict[str, Any]:
        about = self.about
        steps = [m.step for m in found]
        i = len(steps) - 1
        while i and states.states[i - 1] == states.states[-1]:
            i -= 1
        columns = dict(states.columns)
        level = columns.pop("gap_level")
        row: dict[str, Any] = {
            "state": states.states[-1],
            "since": steps[i],
            "since_after": steps[i - 1] if i else -1,
            "learned": bool(columns["generalization"] >= LEARNED),
            **columns,
            "gap_level": np.nan if np.isnan(level) else about["levels"][int(level)],
        }
        for name, drawn in states.times.items():
            low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
            row |= {name: drawn[0], f"{name}_low": low, f"{name}_high": high}
        curves = self.curves(found, weights, k)
        row["best_at"] = least(curves.steps, curves.relative_loss()) if curves.n else np.nan
        row |= self._label_gain(found, weights, k)
        samples = _last_samples(found, weights) or {}
        for name in (f"{n}{end}" for n in _FROM_SAMPLES for end in ("", "_low", "_high", "_null")):
            row[name] = samples[name][k] if name in samples else np.nan
        for split in ("train", "held_out"):
            row[f"n_{split}"], row[f"n_{split}_measured"] = (
                about["counts"][split][k],
                about["chosen"][split][k],
            )
        return row

    def _label_gain(self, found: list[Measurement], weights: str, k: int) -> dict[str, float]:
        """ln of the held-out loss if the network is told another class over that if it is told the right one.

        Of the two next classes the one that does better: one of them may have been memorized.
        """
        m = next((m for m in reversed(found) if f"{weights}_wrong_1" in m.arrays), None)
        names = ("label_gain", "label_gain_low", "label_gain_high")
        own = self.class_slice("held_out", k)
        if m is None or own.stop - own.start < 2:
            return dict.fromkeys(names, np.nan)
        right = m.arrays[f"{weights}_held_out_log"][:, own]
        wrong = [values[:, own] for name, values in m.arrays.items() if name.startswith(f"{weights}_wrong_")]
        gain = (min(wrong, key=lambda values: float(values.mean())) - right).mean(axis=0).astype(np.float64)
        half = float(gain.std(ddof=1) / np.sqrt(gain.size) * t.isf(0.025, gain.size - 1))
        mean = float(gain.mean())
        return dict(zip(names, (mean, mean - half, mean + half), strict=True))

    def class_slice(self, split: str, k: int) -> slice:
        """Return where the measured samples of a class stand among those of a split."""
        sizes = self.about["chosen"][split]
        return slice(sum(sizes[:k]), sum(sizes[: k + 1]))

    def by_class(self, found: list[Measurement], weights: str, split: str, kind: str, k: int) -> Floats:
        """Return what some measurements say of the class at position k: "loss" or "log", shape (T, L, n)."""
        own = self.class_slice(split, k)
        blocks = [m.arrays[f"{weights}_{split}_{kind}"][:, own] for m in found]
        return np.stack(blocks).astype(np.float64)

    def curves(self, found: list[Measurement], weights: str, k: int) -> ClassCurves:
        """Return what some measurements say of the class at position k, by sample."""
        about, reference = self.about, self.store.reference()
        part = {split: self.class_slice(split, k) for split in ("train", "held_out")}
        # A network that once answered differently by label is held to what Gaussians know that are told the class.
        told = any(m.info["labels_matter"].get(weights, False) for m in found)
        values = {
            s: self.by_class(found, weights, s, "log", k) - reference[f"{s}_log"][:, part[s]] for s in part
        }
        return ClassCurves(
            steps=np.array([m.step for m in found], dtype=np.float64),
            loss=self.by_class(found, weights, "held_out", "loss", k),
            held_out=values["held_out"],
            train=values["train"],
            trivial=reference["trivial"][:, part["held_out"]],
            gaussian=reference["told" if told else "untold"][:, part["held_out"]],
            n_tests=len(about["levels"]) * len(about["classes"]),
            perfect=np.log(FLOOR) - _mean(reference["train_log"][:, part["train"]]),
        )


def _mean(values: Floats) -> Floats:
    """Mean over samples, NaN for none."""
    return values.mean(axis=1) if values.shape[1] else np.full(len(values), np.nan)


def _last_samples(found: list[Measurement], weights: str) -> dict[str, Any] | None:
    for m in reversed(found):
        if samples := m.info["samples"].get(weights):
            return {**samples, "step": m.step}
    return None


def _seconds(found: list[Measurement], step: float) -> float:
    """Time from the last measurement to a step, at the rate since the one before."""
    if len(found) < 2 or not np.isfinite(step):
        return float("nan")
    a, b = (m.info["schedule"]["account"]["elapsed"] for m in found[-2:])
    return float((step - found[-1].step) * (b - a) / (found[-1].step - found[-2].step))
