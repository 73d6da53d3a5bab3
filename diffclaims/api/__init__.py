"""What authors of claims and subjects write against."""
