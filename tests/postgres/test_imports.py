import pkgutil
import subprocess
import sys

import copypump.postgres

BLOCKED = """
import importlib, sys
for name in ("pyarrow", "click", "rich"):
    sys.modules[name] = None
for module in {modules!r}:
    importlib.import_module(module)
"""


def test_nothing_here_needs_pyarrow():
    modules = [
        f"copypump.postgres.{module.name}" for module in pkgutil.iter_modules(copypump.postgres.__path__)
    ]
    assert "copypump.postgres._copy" in modules
    subprocess.run([sys.executable, "-c", BLOCKED.format(modules=modules)], check=True)
