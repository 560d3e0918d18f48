"""The statements by which a twin takes its table's place, in one transaction; read in this order.

What is made from the server's text names the table, so it is made when the twin has that name. The old table
is dropped last, without CASCADE: if anything still depends on it, nothing happens.
"""

from __future__ import annotations

from collections.abc import Iterator

from copypump.postgres.names import quote_name
from copypump.postgres.twin.definition import Definition, Row
from copypump.postgres.twin.making import Names, comment, literal, options_clause
from copypump.postgres.twin.privileges import Role, column_grants, grants
from copypump.postgres.twin.texts import quoted, referring_to

_COMMANDS = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "*": "ALL"}

# pg_trigger.tgenabled and pg_rewrite.ev_enabled; "O" is how they are made.
_ENABLED = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


def _table(row: Row) -> str:
    return quoted((row["schema"], row["table"]))


def _only(row: Row) -> str:
    return f"{'' if row['kind'] == 'p' else 'ONLY '}{_table(row)}"


def referrer_locks(definition: Definition) -> Iterator[str]:
    """What holds writers off the tables that refer to this one while their keys are checked, not readers."""
    for table in dict.fromkeys(_only(row) for row in definition.referrers if row["kind"] == "r"):
        yield f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"


def referrer_statements(definition: Definition, names: Names) -> Iterator[str]:
    """Make the foreign keys of other tables to the twin, beside those to the old table.

    Those of partitioned tables wait for the swap: the names that they would get in the partitions cannot be
    changed.
    """
    for row, name in zip(definition.referrers, names.keys, strict=True):
        if row["kind"] == "r":
            key = referring_to(definition, row, names.table)
            yield f"ALTER TABLE {_table(row)} ADD CONSTRAINT {quote_name(name)} {key}"


def locks(definition: Definition) -> Iterator[str]:
    """All that the swap needs, in the order in which others lock: what uses the table before the table.

    A view is locked by giving it the owner that it has, as LOCK TABLE would lock all that it reads as well.
    What the old table refers to is locked by its end, which needs no right to; LOCK TABLE does, and where the
    role has none, the end of the old table is not as patient as this.
    """
    views = [(row["schema"], row["name"], row["owner"]) for row in definition.views]
    others = [*definition.other_rules, *definition.other_policies]
    views += [(row["schema"], row["table"], row["owner"]) for row in others if row["kind"] == "v"]
    for schema, name, owner in dict.fromkeys(views):
        yield f"ALTER VIEW {quoted((schema, name))} OWNER TO {quote_name(owner)}"
    tables = [*definition.referrers, *(row for row in others if row["kind"] != "v")]
    for table in dict.fromkeys(_only(row) for row in tables):
        yield f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"
    yield f"LOCK TABLE ONLY {quoted(definition.name)} IN ACCESS EXCLUSIVE MODE"
    keys = (row for row in definition.constraints if row["contype"] == "f" and not row["to_itself"])
    for referenced in dict.fromkeys(row["referenced"] for row in keys if row["_lockable"]):
        yield f"LOCK TABLE {referenced} IN ACCESS EXCLUSIVE MODE"


def swap_statements(definition: Definition, names: Names, role: Role) -> Iterator[str]:
    """Everything from the old table to the twin, and the old one's end."""
    yield from _values(definition, names)
    yield from _keys(definition, names)
    yield from _renames(definition, names)
    table = definition.name
    for sequence in definition.sequences:
        name = (sequence["schema"], sequence["name"])
        if sequence["deptype"] == "a":
            yield f"ALTER SEQUENCE {quoted(name)} OWNED BY {quoted(table)}.{quote_name(sequence['column'])}"
        else:
            yield from grants("SEQUENCE", name, sequence, role)
    yield from grants("TABLE", table, definition.relation, role)
    yield from column_grants(table, definition, role)
    yield from _firing(definition)
    yield from _policies(definition)
    for publication in definition.publications:
        columns = ", ".join(map(quote_name, publication["columns"] or ()))
        yield (
            f"ALTER PUBLICATION {quote_name(publication['name'])} ADD TABLE ONLY {quoted(table)}"
            + (f" ({columns})" if columns else "")
            + (f" WHERE ({publication['filter']})" if publication["filter"] is not None else "")
        )
    yield from _others(definition)
    yield f"DROP TABLE {quoted(names.old)}"


def _values(definition: Definition, names: Names) -> Iterator[str]:
    """An identity goes on where it stood."""
    for sequence in definition.sequences:
        if sequence["deptype"] == "i":
            old = quoted((sequence["schema"], sequence["name"]))
            new = quoted((sequence["schema"], names.parts["sequence", sequence["name"]]))
            yield f"SELECT pg_catalog.setval({literal(new)}, last_value, is_called) FROM {old}"


def _keys(definition: Definition, names: Names) -> Iterator[str]:
    for row, name in zip(definition.referrers, names.keys, strict=True):
        table, key = f"ALTER TABLE {_table(row)}", quote_name(row["name"])
        yield f"{table} DROP CONSTRAINT {key}"
        if row["kind"] == "r":
            yield f"{table} RENAME CONSTRAINT {quote_name(name)} TO {key}"
            yield from comment(f"CONSTRAINT {key} ON {_table(row)}", row)


def _renames(definition: Definition, names: Names) -> Iterator[str]:
    yield f"ALTER TABLE {quoted(definition.name)} RENAME TO {quote_name(names.old[1])}"
    yield f"ALTER TABLE {quoted(names.table)} RENAME TO {quote_name(definition.name[1])}"
    for (kind, part), name in names.parts.items():
        away = names.away[kind, part]
        schema, plain = definition.name[0], part
        if kind == "statistics":
            [(schema, plain)] = [
                (row["schema"], row["name"])
                for row in definition.statistics
                if f"{row['schema']}.{row['name']}" == part
            ]
        alter = f"ALTER {kind.upper()}"
        yield f"{alter} {quoted((schema, plain))} RENAME TO {quote_name(away)}"
        yield f"{alter} {quoted((schema, name))} RENAME TO {quote_name(plain)}"


def _firing(definition: Definition) -> Iterator[str]:
    """Triggers and rules, and whether they fire."""
    table = quoted(definition.name)
    for trigger in definition.triggers:
        name = quote_name(trigger["tgname"])
        yield trigger["definition"]
        if trigger["tgenabled"] in _ENABLED:
            yield f"ALTER TABLE {table} {_ENABLED[trigger['tgenabled']]} TRIGGER {name}"
        yield from comment(f"TRIGGER {name} ON {table}", trigger)
    for constraint in definition.constraints:
        if constraint["contype"] == "t":
            yield from comment(f"CONSTRAINT {quote_name(constraint['conname'])} ON {table}", constraint)
    for rule in definition.rules:
        name = quote_name(rule["name"])
        yield rule["definition"].removesuffix(";")
        if rule["enabled"] in _ENABLED:
            yield f"ALTER TABLE {table} {_ENABLED[rule['enabled']]} RULE {name}"
        yield from comment(f"RULE {name} ON {table}", rule)


def _policies(definition: Definition) -> Iterator[str]:
    table, relation = quoted(definition.name), definition.relation
    for policy in definition.policies:
        name = quote_name(policy["polname"])
        roles = ", ".join("PUBLIC" if role is None else quote_name(role) for role in policy["roles"])
        kind = "PERMISSIVE" if policy["polpermissive"] else "RESTRICTIVE"
        yield (
            f"CREATE POLICY {name} ON {table} AS {kind} FOR {_COMMANDS[policy['polcmd']]} TO {roles}"
            + _conditions(policy)
        )
        yield from comment(f"POLICY {name} ON {table}", policy)
    if relation["relrowsecurity"]:
        yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
    if relation["relforcerowsecurity"]:
        yield f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"


def _conditions(policy: Row) -> str:
    using = f" USING ({policy['using']})" if policy["using"] is not None else ""
    return using + (f" WITH CHECK ({policy['check']})" if policy["check"] is not None else "")


def _others(definition: Definition) -> Iterator[str]:
    """What uses the table by its name, told again: owners, rights and whatever else they have stay."""
    for row in definition.referrers:
        if row["kind"] == "p":
            key = quote_name(row["name"])
            yield f"ALTER TABLE {_table(row)} ADD CONSTRAINT {key} {row['definition']}"
            yield from comment(f"CONSTRAINT {key} ON {_table(row)}", row)
    for view in definition.views:
        options = options_clause(view["options"])
        name, query = quoted((view["schema"], view["name"])), view["definition"].removesuffix(";")
        yield f"CREATE OR REPLACE VIEW {name}{options} AS {query}"
    for rule in definition.other_rules:
        text = rule["definition"].removesuffix(";").removeprefix("CREATE RULE")
        yield f"CREATE OR REPLACE RULE{text}"
    for policy in definition.other_policies:
        yield f"ALTER POLICY {quote_name(policy['name'])} ON {_table(policy)}{_conditions(policy)}"
    for function in definition.functions:
        yield function["definition"]
