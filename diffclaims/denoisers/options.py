"""What a network wants beside its convention: labels, layout, scale of the data."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from diffclaims.errors import InvalidInput
from diffclaims.problem.arguments import check_fields
from diffclaims.problem.validate import POSITIVE, Limit, check_settings, one_of, setting

_OPTIONAL_POSITIVE = Limit("be None or positive", lambda v: v is None or v > 0, "raise it")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options that every adapter takes as keywords.

    Parameters
    ----------
    num_classes : int, optional
        How many classes the network knows. Labels are then held to it.
    one_hot : bool
        Whether it takes labels as rows of zeros with a one, (B, num_classes), in place of integers (B,).
    null : {"absent", "index", "zeros"}
        What it is given where no labels are: None, the index `num_classes`, or a row of zeros.
    time_first : bool
        Whether it is called ``f(time, x, labels)``, as torchcfm does, in place of ``f(x, time, labels)``.
    clip : float, optional
        Clip x0 to [-clip, clip], in the network's units. The score is that of the clipped x0.
    channels_last : bool
        Whether it takes and returns (B, ..., C). What users give stays (B, C, ...).
    scale, offset : float
        The network was trained on ``scale * data + offset``: 2 and -1 for data in [0, 1] and a network on [-1, 1].
        Noise levels and scores are those of the data.
    dtype : torch.dtype, optional
        Type that it is called in; that of its parameters by default, or of x where it has none.
    """

    num_classes: int | None = setting(None, _OPTIONAL_POSITIVE)
    one_hot: bool = False
    null: str = setting("absent", one_of("absent", "index", "zeros"))
    time_first: bool = False
    clip: float | None = setting(None, _OPTIONAL_POSITIVE)
    channels_last: bool = False
    scale: float = setting(1.0, POSITIVE)
    offset: float = 0.0
    dtype: Any = None

    def __post_init__(self) -> None:
        check_fields(self)
        check_settings(self)
        if self.dtype is not None and type(self.dtype).__name__ != "dtype":
            raise InvalidInput.of("dtype", self.dtype, "be a type of torch", "give torch.float32, say")
        if self.num_classes is None and (self.one_hot or self.null != "absent"):
            why = "be given for one-hot labels and for a null class"
            raise InvalidInput.of("num_classes", None, why, "say how many classes the network knows")
        if self.null == "zeros" and not self.one_hot:
            raise InvalidInput.of("null", "zeros", "go with one-hot labels", "add one_hot=True")

    @classmethod
    def of(cls, given: Mapping[str, Any], **defaults: Any) -> Options:
        """Return options from keywords, or an error that names the nearest."""
        known = [f.name for f in fields(cls)]
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise InvalidInput.of("option", name, f"be one of {', '.join(known)}", f"{hint}Remove it")
        return cls(**{**defaults, **given})
