"""Networks of every convention as one object, with x0 and the score at a noise level.

    from diffclaims import denoisers

    denoiser = denoisers.from_eps(network, alphas_cumprod)
    x0 = denoiser.denoise(x + sigma * noise, sigma, labels)
    score = denoiser.score(x + sigma * noise, sigma, labels)

PyTorch is imported when an adapter is called.
"""

from diffclaims.denoisers.adapters import (
    from_edm,
    from_eps,
    from_flow,
    from_sample,
    from_score,
    from_v,
    from_x0,
)
from diffclaims.denoisers.denoiser import Denoiser
from diffclaims.denoisers.of_diffusers import from_diffusers
from diffclaims.denoisers.options import Options
from diffclaims.denoisers.questions import Answer, Report, check

__all__ = [
    "Answer",
    "Denoiser",
    "Options",
    "Report",
    "check",
    "from_diffusers",
    "from_edm",
    "from_eps",
    "from_flow",
    "from_sample",
    "from_score",
    "from_v",
    "from_x0",
]
