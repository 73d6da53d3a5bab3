"""Scatter that the training samples alone put into a loss, taken off: a control variate of zero mean.

The loss of any readout that never saw the samples has the same mean on the samples of a class as on the
class itself. Its deviation on the samples at hand is therefore noise, which the trained readout's loss shares.
The readout that is used is trained by the same flow on the mixture itself, in the span of the features'
correlations with the noise, where it has all but a small part of its norm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffclaims.finite.backend import Array, Backend
from diffclaims.finite.flow import Flow
from diffclaims.finite.gram import ClassFeatureMoments, Moments

Floats = NDArray[np.float64]


class Control:
    """Deviations of the loss on samples of a readout that knows only the mixture.

    Parameters
    ----------
    moments : ClassFeatureMoments
        Of the training samples, and of the whole classes as `test`.
    noise : float
        Delta.
    backend : Backend
        Where to compute.
    """

    def __init__(self, moments: ClassFeatureMoments, noise: float, *, backend: Backend) -> None:
        span, _ = np.linalg.qr(np.concatenate([backend.numpy(m.v) for m in moments.test], axis=1))
        self.span: Array = backend.array(span)
        self.moments = moments
        whole = [self._within(m.u, m.v) for m in moments.test]
        of_mixture = ClassFeatureMoments(moments.shares, whole, whole)
        self.flow = Flow(of_mixture, noise, backend=backend, n_features=span.shape[0])

    def _within(self, u: Array, v: Array) -> Moments:
        return Moments(self.span.T @ u @ self.span, self.span.T @ v, 0.0)

    def deviation(self, cls: int, training_times: Floats) -> Floats:
        """Loss on the training samples of a class less that on the whole class, shape (T,); its mean is zero."""
        train, whole = self.moments.train[cls], self.moments.test[cls]
        difference = self._within(train.u - whole.u, train.v - whole.v)
        return self.flow.losses(difference, training_times) - 1
