"""What one run is, and runs of many."""
