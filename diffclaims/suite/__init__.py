"""A run of claims against subjects, from discovery to the grid and the report."""
