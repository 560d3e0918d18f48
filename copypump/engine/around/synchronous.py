"""`synchronous_commit`: whether chunks wait for the target's disk as they commit.

Off is safe, as what builds on chunks commits with it on: that flushes all that came before. Should a crash
take chunks along until then, it takes their rows in the ledger, too, and the run moves them again.
"""

from __future__ import annotations

from msgspec.structs import replace

from copypump.engine.loading import Landing, Loading


def add_synchronous_commit(landing: Landing, loading: Loading) -> Loading:
    """Let each chunk's transaction set it; where there is one, its COMMIT is the last, and waits."""
    word = landing.options.synchronous_commit
    if not landing.many:
        warning = f"synchronous_commit {word} is for chunks: all is one transaction, whose COMMIT is durable"
        return replace(loading, warnings=(*loading.warnings, warning))
    setting = f"SET LOCAL synchronous_commit = {word}"
    return replace(loading, sink=replace(loading.sink, settings=(setting, *loading.sink.settings)))
