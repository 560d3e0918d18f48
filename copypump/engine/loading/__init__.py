"""How rows land: a function for each entry of the table of modes, which decides its statements."""

from __future__ import annotations

from copypump.engine.loading import direct, insert, replace, update, upsert
from copypump.engine.loading.loading import Execute as Execute
from copypump.engine.loading.loading import Landing as Landing
from copypump.engine.loading.loading import Loading as Loading
from copypump.engine.loading.loading import MakeLoading as MakeLoading
from copypump.engine.loading.loading import Phase as Phase
from copypump.engine.loading.loading import Step as Step

# By the mode's name; "" is a run without a mode.
LOADINGS: dict[str, MakeLoading] = {
    "": direct.empty,
    "append": direct.append,
    "truncate": direct.truncate,
    "replace": replace.replace,
    "upsert": upsert.upsert,
    "update": update.update,
    "insert": insert.insert,
}


def make_loading(landing: Landing) -> Loading:
    """Decide how rows land, in the mode that the options name."""
    return LOADINGS[landing.options.mode or ""](landing)
