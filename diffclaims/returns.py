"""The name under which users know `diffclaims.times.speciation`."""

from diffclaims.times.speciation import detailed_balance_violation, normalised_return, speciation_times

__all__ = ["detailed_balance_violation", "normalised_return", "speciation_times"]
