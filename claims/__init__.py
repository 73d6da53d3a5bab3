"""The claims, one file each. `pytest --pyargs diffclaims.claims` runs the installed copy."""
