"""Mode insert: rows go as parameters of INSERTs to where COPY does not.

To views that the server can update, to foreign tables whose wrapper takes INSERT and no COPY, and to tables
under row-level security, whose policies then hold for the rows. It does all that an INSERT does: rules fire.
"""

from __future__ import annotations

from psycopg import sql

from copypump.engine.loading.loading import Landing, Loading
from copypump.engine.pipeline.sink import Sink, insert_into, make_sink
from copypump.engine.planning.origin import RAW, is_raw
from copypump.postgres.catalog import row_security_applies


def insert(landing: Landing) -> Loading:
    """Decide the INSERT; where the target casts text, it is one from a staging table."""
    target, destination = landing.target, landing.destination
    table = destination.table
    settings = [RAW] if landing.raw and is_raw(target) else []
    if table is not None and row_security_applies(target, table):
        settings.append("SET LOCAL row_security = on")
    if landing.cast:
        staged = make_sink(target, destination, landing.mapping, landing.cast)
        return Loading(Sink(staged.copy, staged.staging, tuple(settings)))
    columns = [mapped.column for mapped in landing.mapping.mapped]
    statement = insert_into(destination.identifier, columns) + sql.SQL("VALUES ")
    parameters = tuple(column.wire_type.oid for column in columns)
    warnings = ("the target has rules, which INSERT fires",) if table is not None and table.has_rules else ()
    return Loading(Sink(statement, None, tuple(settings), parameters), warnings=warnings)
