"""From the raw measurements of runs to the datasets that are kept."""
