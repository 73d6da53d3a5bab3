"""Load the plugin when the package runs from a bare checkout; an installed one loads itself."""

import os
from importlib import metadata

_installed = any(p.value == "diffclaims.plugin" for p in metadata.entry_points(group="pytest11"))
_autoload = not os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD")

pytest_plugins = [] if _installed and _autoload else ["diffclaims.plugin"]
