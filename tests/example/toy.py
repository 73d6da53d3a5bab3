"""Subjects with curves in closed form: class k relaxes at the rate of its variance."""

import numpy as np
import xarray as xr

from diffclaims import NotMeasured, Tags
from diffclaims.storage import schema
from diffclaims.storage.provenance import provenance

TIMES = np.geomspace(1e-3, 1e3, 61)
FLOOR = 0.25


class Toy:
    """Losses that fall from 1 to FLOOR as exp(-variance * time)."""

    def __init__(self, name, *, scale=1.0, seeds=0, spread=0.0, sign=1.0, **tags):
        self.name = name
        self.scale, self.seeds, self.spread, self.sign = scale, seeds, spread, sign
        self.tags = Tags(
            exact=not seeds,
            stochastic=bool(seeds),
            measures=frozenset({"learning_curves"}),
            model="exponential",
            **tags,
        )
        self.calls = 0

    def learning_curves(self, experiment):
        self.calls += 1
        rates = experiment.mixture.class_variance**self.sign
        test = FLOOR + (1 - FLOOR) * np.exp(-rates[:, None] * TIMES * self.scale)
        attrs = provenance(subject=self.name, experiment=experiment, seeds=range(self.seeds))
        dims = ("class", "training_time")
        if self.seeds:
            rng = np.random.default_rng(7)
            noise = np.exp(self.spread * rng.standard_normal((self.seeds, rates.size)))
            test = FLOOR + (1 - FLOOR) * np.exp(-(rates * noise)[:, :, None] * TIMES)
            dims = ("seed", *dims)
        else:
            attrs["accuracy"] = 1e-6
        dataset = xr.Dataset(
            {
                "test_loss": (dims, test),
                "train_loss": (dims, test.copy()),
                "bayes_loss": ("class", np.full(rates.size, FLOOR)),
            },
            coords={"class": [f"class {k}" for k in range(rates.size)], "training_time": TIMES},
        )
        return schema.stamp(dataset, "curves", attrs)


class Wrong(Toy):
    """Breaks the contract in one way."""

    def __init__(self, name, how):
        super().__init__(name)
        self.how = how

    def learning_curves(self, experiment):
        dataset = super().learning_curves(experiment)
        if self.how == "nan":
            dataset["test_loss"][0, 5] = np.nan
        elif self.how == "dims":
            dataset = dataset.rename({"class": "dim_0"})
        elif self.how == "units":
            dataset["test_loss"].attrs["units"] = "percent"
        elif self.how == "scale":
            dataset["train_loss"] *= 100
        elif self.how == "negative":
            dataset["test_loss"] -= 0.5
        elif self.how == "accuracy":
            del dataset.attrs["accuracy"]
        elif self.how == "random":
            dataset["test_loss"] += 1e-3 * np.random.default_rng().random()
        elif self.how == "raises":
            raise ZeroDivisionError("oops")
        elif self.how == "classes":
            dataset = dataset.isel({"class": [0]})
        elif self.how == "refuses":
            raise NotMeasured("it was asked on a Sunday")
        return dataset


SUBJECT = Toy("toy")
FASTER = Toy("toy", scale=1.5)
BACKWARDS = Toy("backwards", sign=-1.0)
NOISY = Toy("noisy", seeds=8, spread=0.02)
VAGUE = Toy("vague", seeds=3, spread=0.5)
NAN = Wrong("nan", "nan")
REFUSES = Wrong("refuses", "refuses")
SLOW = Toy("slow", slow=True)
