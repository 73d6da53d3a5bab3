"""The claims, one file each; run them with pytest."""
