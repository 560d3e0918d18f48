"""What happens to others when a table is replaced, for the plan to say beforehand."""

from __future__ import annotations

from collections.abc import Iterator

from copypump.postgres.names import show_name
from copypump.postgres.session import Session
from copypump.postgres.twin.definition import Definition, catalog_path

# Of those that list the table itself it is not a part until the swap. pg_publication_namespace came in 15.
_PUBLICATIONS = """
SELECT p.pubname FROM pg_publication p WHERE p.puballtables
UNION
SELECT p.pubname FROM pg_publication p JOIN pg_publication_namespace s ON s.pnpubid = p.oid
 WHERE s.pnnspid = (SELECT c.relnamespace FROM pg_class c WHERE c.oid = $1)
 ORDER BY 1"""

_PUBLICATIONS_14 = """
SELECT p.pubname FROM pg_publication p WHERE p.puballtables AND $1::oid IS NOT NULL ORDER BY 1"""

_EVENT_TRIGGERS = "SELECT e.evtname FROM pg_event_trigger e WHERE e.evtenabled <> 'D' ORDER BY 1"

# pg_trigger.tgtype (src/include/catalog/pg_trigger.h).
_ON_INSERT = 4


def notes(session: Session, definition: Definition, twin: str, *, early: bool = False) -> Iterator[str]:
    """Sentences, in the order in which one may want to know. `early`: its foreign keys precede its rows."""
    yield (
        f"a transaction whose snapshot is older than the swap sees {definition} empty; one that takes a"
        " snapshot for each statement (READ COMMITTED) sees the old rows or the new"
    )
    yield f"rows that others write to {definition} before the swap are gone with the old table"
    firing = [
        each["tgname"]
        for each in definition.triggers
        if each["tgtype"] & _ON_INSERT and each["tgenabled"] in "OA"
    ]
    if firing:
        yield f"triggers do not fire for the rows of this run: {_list(firing)}"
    referring = {show_name(row["schema"], row["table"]) for row in definition.referrers}
    referred = {row["referenced"] for row in definition.constraints if row["referenced"]}
    itself = {definition.relation["printed"]}
    if early and (others := sorted(referred - itself)):
        yield (
            f"foreign keys are there before the rows: nobody writes to {', '.join(others)} until they are"
            " committed, which in a run of one transaction is its end"
        )
    if others := sorted((referring | (set() if early else referred)) - itself):
        yield f"nobody writes to {', '.join(others)} while foreign keys are checked"
    if parted := [row["name"] for row in definition.referrers if row["kind"] == "p"]:
        yield f"the swap checks foreign keys of partitioned tables while all is locked: {_list(parted)}"
    if listed := [each["name"] for each in definition.publications]:
        yield (
            f"subscribers of {_list(listed)} keep the old rows until they ALTER SUBSCRIPTION ... REFRESH"
            " PUBLICATION"
        )
    with catalog_path(session):
        query = _PUBLICATIONS if session.server_version >= 150000 else _PUBLICATIONS_14
        publications = [str(row[0]) for row in session.execute(query, [definition.oid])]
        triggers = [str(row[0]) for row in session.execute(_EVENT_TRIGGERS)]
    if publications:
        yield (
            f"the publications {_list(publications)} take in the new table, too: a subscriber without a table"
            f" {twin} stops at its rows"
        )
    if triggers:
        yield f"event triggers fire for the statements of this run: {_list(triggers)}"


def _list(names: list[str]) -> str:
    return ", ".join(show_name(name) for name in names)
