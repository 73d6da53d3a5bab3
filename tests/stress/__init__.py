"""Long trials of what a user may do wrong: bad arguments, damaged files, processes that are killed."""
