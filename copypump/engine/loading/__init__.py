"""How rows land: a function for each entry of the table of modes, which decides its statements."""

from __future__ import annotations

from importlib import import_module

from copypump.engine.loading.loading import Execute as Execute
from copypump.engine.loading.loading import Landing as Landing
from copypump.engine.loading.loading import Loading as Loading
from copypump.engine.loading.loading import MakeLoading as MakeLoading
from copypump.engine.loading.loading import Phase as Phase
from copypump.engine.loading.loading import Step as Step

# Module and function by the mode's name; "" is a run without a mode. Only what is wanted is imported:
# `replace` alone brings a package of its own.
LOADINGS: dict[str, tuple[str, str]] = {
    "": ("direct", "empty"),
    "append": ("direct", "append"),
    "truncate": ("direct", "truncate"),
    "replace": ("replace", "replace"),
    "upsert": ("upsert", "upsert"),
    "update": ("update", "update"),
    "insert": ("insert", "insert"),
}


def make_loading(landing: Landing) -> Loading:
    """Decide how rows land, in the mode that the options name."""
    module, name = LOADINGS[landing.options.mode or ""]
    make: MakeLoading = getattr(import_module(f"{__name__}.{module}"), name)
    return make(landing)
