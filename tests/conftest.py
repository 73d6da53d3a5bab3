"""Profiles of the property tests: `HYPOTHESIS_PROFILE=search` looks for new examples."""

import os

from hypothesis import settings

# The default repeats the same examples, so that a red run is red for everyone.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True, max_examples=12)
settings.register_profile("search", deadline=None, print_blob=True, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
