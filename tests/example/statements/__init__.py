"""Example claims."""
