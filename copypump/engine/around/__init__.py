"""What a run does around the load itself; each option a function that adds to the mode's Loading."""

from __future__ import annotations

from importlib import import_module

from copypump.engine.loading import Landing, Loading
from copypump.engine.options import KEEP

# Module and function by the name of the option, and the word of it that asks for nothing. In the order in
# which they come after the load. Only what is wanted is imported.
AROUND: dict[str, tuple[str, str, object]] = {
    "create_like_source": ("like_source", "add_like_source", False),
    "triggers": ("triggers", "add_triggers", "keep"),
    "synchronous_commit": ("synchronous", "add_synchronous_commit", None),
    "indexes": ("indexes", "add_indexes", KEEP),
    "analyze": ("analyze", "add_analyze", False),
    "sequences": ("sequences", "add_sequences", "keep"),
}


def surround(landing: Landing, loading: Loading) -> Loading:
    """Add what the options want to be done around the load.

    Raises:
        RefusedError: it does not go with the target or the mode.
        TargetError: the role may not do it.

    """
    for option, (module, name, nothing) in AROUND.items():
        if getattr(landing.options, option) != nothing:
            loading = getattr(import_module(f"{__name__}.{module}"), name)(landing, loading)
    return loading
