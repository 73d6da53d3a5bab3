"""How fast can this machine train, by which means, and how much of a preset fits into the time there is."""
