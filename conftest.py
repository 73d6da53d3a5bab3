"""Load the plugin when the package runs from a bare checkout; one thread each; leave long tests to those who ask."""

import os
import sys
from importlib import metadata

import pytest

from diffclaims import threads

threads.in_this_process()

_installed = any(p.value == "diffclaims.plugin" for p in metadata.entry_points(group="pytest11"))
_autoload = not os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD")

pytest_plugins = [] if _installed and _autoload else ["diffclaims.plugin"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the flag for long tests."""
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the slow tests, and the benchmarks unless only those are asked for."""
    slow = config.getoption("--slow")
    benchmarks = config.getoption("benchmark_only", default=False)

    def wanted(item: pytest.Item) -> bool:
        if "benchmarks" in item.path.parts:
            return bool(benchmarks)
        return slow or item.get_closest_marker("slow") is None

    left = [item for item in items if not wanted(item)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if wanted(item)]


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Drop the plugin of hypothesis where nothing collected uses it: to say nothing, it would import all of it."""
    plugins, name = session.config.pluginmanager, "hypothesispytest"
    explored = session.config.getoption("diffclaims_explore", default=False)
    if "hypothesis" not in sys.modules and not explored and plugins.has_plugin(name):
        plugins.unregister(name=name)
