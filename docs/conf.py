"""The static site: ``python -m sphinx -W -b html docs site``."""

from diffclaims import __version__

project = "diffclaims"
author = copyright = "The diffclaims developers"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc"]
html_theme = "furo"
html_title = f"diffclaims {release}"
exclude_patterns = ["unet-samples"]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
# Pages are also read in the repository, where links go to files beside the documentation.
myst_all_links_external = False
suppress_warnings = ["myst.xref_missing"]
autodoc_mock_imports = ["torch", "torchvision", "dask", "distributed", "matplotlib", "sklearn"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
numpydoc_show_class_members = False
nitpicky = False
