"""One file a command: studies of the claims and of the subjects."""
