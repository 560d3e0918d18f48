"""Modes whose rows go straight into the target table: append, truncate, and a run without a mode."""

from __future__ import annotations

from psycopg import sql

from copypump.engine.loading.loading import Execute, Landing, Loading
from copypump.engine.pipeline.sink import Sink, make_sink


def sink_of(landing: Landing) -> Sink:
    """The target table itself, through a staging table where its server casts text.

    One that the run makes, or empties, in the transaction of its COPY is filled with frozen rows: nothing has
    to be written once more when they are first read, or vacuumed. Nobody can have seen it otherwise.
    """
    table = landing.destination.table
    ours = table is None or (landing.options.mode == "truncate" and table.kind == "r")
    return make_sink(
        landing.target,
        landing.destination,
        landing.mapping,
        landing.cast,
        raw=landing.raw,
        freeze=ours and not landing.many,
    )


def append(landing: Landing) -> Loading:
    """Add the rows to those that are there."""
    return Loading(sink_of(landing))


def empty(landing: Landing) -> Loading:
    """Add the rows to none: without a mode, the target must be empty, and starting over empties it again."""
    return Loading(sink_of(landing), restart=(Execute(_truncate(landing)),))


def truncate(landing: Landing) -> Loading:
    """Empty the target and load it."""
    step = Execute(_truncate(landing))
    return Loading(sink_of(landing), prepare=(step,), locks=True)


def _truncate(landing: Landing) -> sql.Composable:
    destination = landing.destination
    return sql.SQL("TRUNCATE TABLE {}{}").format(destination.only, destination.identifier)
