"""A block that the server refused, landed from a staging table: all of its good rows, and none of the bad.

The block stands in a temporary table without constraints, its rows numbered. What the target's constraints
refuse is found set by set (`engine.rejects.rules`), and the rest goes in by one INSERT. Where that fails all
the same, for a trigger or an exclusion constraint, say, the server itself goes over the rows, a slice under a
savepoint (of PL/pgSQL) at a time, and row by row within a slice that fails.

In row order the first of several rows with one key wins. So a row whose key an earlier one of the block has
waits for a second round, which finds that one in the target, or does not, because it was bad itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from psycopg import sql

from copypump.codec.column import Column
from copypump.engine.rejects.record import TARGET
from copypump.engine.rejects.rules import FOREIGN_KEY, NUMBER, UNIQUE, Foreign, Rules, Unique
from copypump.engine.rejects.table import RejectTable
from copypump.errors import Side, TargetError
from copypump.postgres.session import Session
from copypump.postgres.translate import told

BLOCK = sql.Identifier("pg_temp", "copypump_block")
_BAD = sql.Identifier("pg_temp", "copypump_bad")
_N = sql.Identifier(NUMBER)

# Rows that PL/pgSQL inserts at once. At 1% bad rows a slice of 16 fails one time in seven.
_SLICE = 16

# Rows that wait for others which wait: after so many rounds row by row.
_MOST_ROUNDS = 8

# Of a statement that looks for bad rows: an expression that errs on a row, or that names what is not known.
# The INSERT tells then.
_RULE_ERRORS = ("22", "23", "42", "P0001")

# After a round: what has landed or was rejected leaves the block.
_LEAVE_WAITING = sql.SQL(
    "DELETE FROM {} AS b WHERE NOT EXISTS (SELECT FROM {} AS d"
    " WHERE d.n OPERATOR(pg_catalog.=) b.{} AND d.reason IS NULL)"
).format(BLOCK, _BAD, _N)

# SQLSTATEs that are about a row's values: see GUARANTEES' retry classes.
_OF_ROWS = ("22", "23")
_OF_ROWS_WHOLE = ("44000", "P0001")

# The same in PL/pgSQL, within an exception handler.
_IS_OF_ROWS = sql.SQL("({} OR SQLSTATE IN ({}))").format(
    sql.SQL(" OR ").join(sql.SQL("SQLSTATE LIKE {}").format(sql.Literal(f"{each}%")) for each in _OF_ROWS),
    sql.SQL(", ").join(map(sql.Literal, _OF_ROWS_WHOLE)),
)


def is_of_rows(error: TargetError) -> bool:
    """Whether the server refused a row, and not the whole."""
    state = error.sqlstate or ""
    return state[:2] in _OF_ROWS or state in _OF_ROWS_WHOLE


class Statements(Struct, frozen=True):
    """What is said to the server for one table; made once a chunk, and before that by the plan."""

    make: tuple[sql.Composable, ...]
    copy: sql.Composable
    find: tuple[sql.Composable, ...]
    wait: tuple[sql.Composable, ...]
    orphans: tuple[tuple[sql.Composable, sql.Composable], ...]
    insert: sql.Composable
    insert_slowly: sql.Composable
    keep: sql.Composable
    keep_texts: sql.Composable


def make_statements(
    table: sql.Composable,
    columns: Sequence[Column],
    rules: Rules,
    rejects: RejectTable,
    run: str,
    chunk: int,
    named: Mapping[str, str],
) -> Statements:
    """Put the statements together for rows of `columns` that land in `table`.

    `named` are names by which the server calls constraints there, and those that go on record.
    """
    names = [sql.Identifier(column.name) for column in columns]
    body = [
        sql.SQL("{} {}").format(name, _staged(column, rules.collations.get(column.name)))
        for name, column in zip(names, columns, strict=True)
    ]
    number = sql.SQL("{} pg_catalog.int8 GENERATED ALWAYS AS IDENTITY (CACHE 1000)").format(_N)
    make = (
        sql.SQL("CREATE TEMPORARY TABLE copypump_block ({}) ON COMMIT DROP").format(
            sql.SQL(", ").join([*body, number])
        ),
        sql.SQL(
            "CREATE TEMPORARY TABLE copypump_bad (n pg_catalog.int8, reason pg_catalog.text, sqlstate"
            " pg_catalog.text, constraint_name pg_catalog.text, column_name pg_catalog.text) ON COMMIT DROP"
        ),
    )
    listed = sql.SQL(", ").join(names)
    overriding = sql.SQL("OVERRIDING SYSTEM VALUE " if any(c.identity for c in columns) else "")

    def insert(condition: sql.Composable) -> sql.Composable:
        return sql.SQL("INSERT INTO {} ({}) {}SELECT {} FROM {} AS b WHERE {} ORDER BY b.{}").format(
            table, listed, overriding, listed, BLOCK, condition, _N
        )

    def keep(row: sql.Composable, source: sql.Composable) -> sql.Composable:
        return rejects.insert(
            run,
            chunk,
            sql.SQL(
                "SELECT {}, {}, d.sqlstate, {}, d.column_name, {} FROM {} AS d JOIN {}"
                " ON b.{} OPERATOR(pg_catalog.=) d.n WHERE d.reason IS NOT NULL ORDER BY d.n"
            ).format(sql.Literal(TARGET), *_known(named), row, _BAD, source, _N),
        )

    texts = sql.SQL(", ").join(sql.SQL("b.{0}::pg_catalog.text AS {0}").format(name) for name in names)
    finder = _Finder(rules, columns)
    return Statements(
        make=make,
        copy=sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(BLOCK, listed),
        find=finder.find(),
        wait=finder.wait(),
        orphans=finder.orphans(),
        insert=insert(_GOOD),
        insert_slowly=_slowly(insert),
        keep=keep(
            sql.SQL("pg_catalog.to_jsonb(b.*) OPERATOR(pg_catalog.-) {}").format(sql.Literal(NUMBER)),
            sql.SQL("{} AS b").format(BLOCK),
        ),
        keep_texts=keep(
            sql.SQL("b.row"),
            sql.SQL(
                "(SELECT b.{}, pg_catalog.to_jsonb(r.*) AS row FROM {} AS b, LATERAL (SELECT {}) AS r) AS b"
            ).format(_N, BLOCK, texts),
        ),
    )


# Those rows of the block, as b, that nothing is known against; with those that only wait.
_GOOD = sql.SQL("NOT EXISTS (SELECT FROM {} AS d WHERE d.n OPERATOR(pg_catalog.=) b.{})").format(_BAD, _N)
_GOOD_OR_WAITING = sql.SQL(
    "NOT EXISTS (SELECT FROM {} AS d WHERE d.n OPERATOR(pg_catalog.=) b.{} AND d.reason IS NOT NULL)"
).format(_BAD, _N)


def _known(named: Mapping[str, str]) -> tuple[sql.Composable, sql.Composable]:
    """A bad row's reason and constraint, by the names that the user knows."""
    reason: sql.Composable = sql.SQL("d.reason")
    constraint: sql.Composable = sql.SQL("d.constraint_name")
    for made, name in named.items():
        old, new = sql.Literal(f'"{made}"'), sql.Literal(f'"{name}"')
        reason = sql.SQL("pg_catalog.replace({}, {}, {})").format(reason, old, new)
    if named:
        cases = sql.SQL(" ").join(
            sql.SQL("WHEN {} THEN {}").format(sql.Literal(made), sql.Literal(name))
            for made, name in named.items()
        )
        constraint = sql.SQL("CASE d.constraint_name {} ELSE d.constraint_name END").format(cases)
    return reason, constraint


def _staged(column: Column, collation: sql.Identifier | None) -> sql.Composable:
    """The type that a column has in the staging table: what a domain is made of, since it has constraints."""
    wire = column.wire_type
    type_ = sql.SQL(column.declared) if column.type.kind != "d" else sql.Identifier(wire.schema, wire.name)
    return type_ if collation is None else sql.SQL("{} COLLATE {}").format(type_, collation)


class _Finder:
    """Makes the statements that find bad rows."""

    def __init__(self, rules: Rules, columns: Sequence[Column]) -> None:
        self._rules = rules
        sent = [sql.Identifier(column.name) for column in columns]
        made = [
            sql.SQL("{} AS {}").format(expression, sql.Identifier(name))
            for name, expression in rules.generated
        ]
        inner = sql.SQL("SELECT {} FROM {} AS b WHERE ").format(
            sql.SQL(", ").join(sql.SQL("b.{}").format(name) for name in (_N, *sent)), BLOCK
        )
        more = sql.SQL("").join([sql.SQL(", ") + each for each in made])
        # Generated columns are made of those below, by the names that these have in the table.
        self._rows, self._all = (
            sql.SQL("(SELECT *{} FROM ({}) AS {})").format(more, inner + which, rules.alias)
            for which in (_GOOD, _GOOD_OR_WAITING)
        )

    def find(self) -> tuple[sql.Composable, ...]:
        """Each puts rows among the bad, of those that nothing is known against yet."""
        found = [self._local()] if self._rules.local else []
        found += [
            self._foreign(each, _foreign_reason(each)) for each in self._rules.foreign if not each.itself
        ]
        found += [self._taken(each) for each in self._rules.unique]
        return tuple(found)

    def wait(self) -> tuple[sql.Composable, ...]:
        """Each puts rows among the bad, without a reason, whose key an earlier one has."""
        return tuple(self._repeated(each) for each in self._rules.unique)

    def _local(self) -> sql.Composable:
        local = self._rules.local
        cases = sql.SQL(" ").join(
            sql.SQL("WHEN {} THEN {}").format(rule.bad, sql.Literal(number))
            for number, rule in enumerate(local)
        )
        facts = sql.SQL(", ").join(
            sql.SQL("({})").format(
                sql.SQL(", ").join(map(_literal, (number, r.reason, r.sqlstate, r.constraint, r.column)))
            )
            for number, r in enumerate(local)
        )
        return sql.SQL(
            "INSERT INTO {} SELECT q.n, r.reason, r.sqlstate, r.constraint_name, r.column_name FROM"
            " (SELECT {} AS n, CASE {} END AS rule FROM {} AS {}) AS q JOIN (VALUES {})"
            " AS r(rule, reason, sqlstate, constraint_name, column_name)"
            " ON r.rule OPERATOR(pg_catalog.=) q.rule"
        ).format(_BAD, _N, cases, self._rows, self._rules.alias, facts)

    def _foreign(self, key: Foreign, reason: str | None) -> sql.Composable:
        there = [sql.SQL("q.{} IS NOT NULL").format(sql.Identifier(mine)) for mine, _, _ in key.pairs]
        return self._insert(reason, FOREIGN_KEY, key.constraint) + sql.SQL(
            " FROM {} AS q WHERE {} AND NOT EXISTS (SELECT FROM {} AS p WHERE {})"
        ).format(self._rows, sql.SQL(" AND ").join(there), key.table, _same(key))

    def orphans(self) -> tuple[tuple[sql.Composable, sql.Composable], ...]:
        """For keys to the table itself: rows that nobody in it or in the block is above; then, to wait.

        To be repeated, each, until no row is found.
        """
        own = [key for key in self._rules.foreign if key.itself]
        return tuple((self._orphans(key, waiting=False), self._orphans(key, waiting=True)) for key in own)

    def _orphans(self, key: Foreign, *, waiting: bool) -> sql.Composable:
        above = sql.SQL(" AND NOT EXISTS (SELECT FROM {} AS p WHERE {})").format(
            self._rows if waiting else self._all, _same(key)
        )
        reason = None if waiting else _foreign_reason(key)
        return self._foreign(key, reason) + above

    def _keys(self, index: Unique, rows: sql.Composable, *more: sql.Composable) -> sql.Composable:
        """A table's keys, as k1, k2 ..., of the rows that the index holds."""
        keys = [
            sql.SQL("{} AS {}").format(key, sql.Identifier(f"k{i}")) for i, (key, _) in enumerate(index.keys)
        ]
        query = sql.SQL("SELECT {} FROM {} AS {}").format(
            sql.SQL(", ").join([*more, *keys]), rows, self._rules.alias
        )
        return query if index.where is None else query + sql.SQL(" WHERE {}").format(index.where)

    def _taken(self, index: Unique) -> sql.Composable:
        equal = []
        for i, (_, operator) in enumerate(index.keys):
            mine, theirs = (sql.Identifier(side, f"k{i}") for side in "qt")
            same = sql.SQL("{} {} {}").format(theirs, operator, mine)
            if index.nulls_equal:
                same = sql.SQL("({} OR ({} IS NULL AND {} IS NULL))").format(same, theirs, mine)
            equal.append(same)
        return self._insert(
            f'duplicate key value violates unique constraint "{index.constraint}"', UNIQUE, index.constraint
        ) + sql.SQL(" FROM ({}) AS q WHERE EXISTS (SELECT FROM ({}) AS t WHERE {})").format(
            self._keys(index, self._rows, sql.SQL("{} AS {}").format(_N, _N)),
            self._keys(index, self._rules.target),
            sql.SQL(" AND ").join(equal),
        )

    def _repeated(self, index: Unique) -> sql.Composable:
        keys = [sql.Identifier("q", f"k{i}") for i in range(len(index.keys))]
        there = [] if index.nulls_equal else [sql.SQL("{} IS NOT NULL").format(key) for key in keys]
        return sql.SQL(
            "INSERT INTO {} SELECT w.n, NULL FROM (SELECT q.{} AS n, pg_catalog.row_number() OVER"
            " (PARTITION BY {} ORDER BY q.{}) AS place FROM ({}) AS q{}) AS w WHERE w.place"
            " OPERATOR(pg_catalog.>) 1"
        ).format(
            _BAD,
            _N,
            sql.SQL(", ").join(keys),
            _N,
            self._keys(index, self._all, _N),
            sql.SQL(" WHERE ") + sql.SQL(" AND ").join(there) if there else sql.SQL(""),
        )

    def _insert(self, reason: str | None, sqlstate: str, constraint: str) -> sql.Composable:
        return sql.SQL("INSERT INTO {} SELECT q.{}, {}, {}, {}").format(
            _BAD, _N, _literal(reason), sql.Literal(sqlstate), sql.Literal(constraint)
        )


def _foreign_reason(key: Foreign) -> str:
    return f'violates foreign key constraint "{key.constraint}"'


def _same(key: Foreign) -> sql.Composable:
    """Whether p is what q points at."""
    return sql.SQL(" AND ").join(
        sql.SQL("p.{} {} q.{}").format(sql.Identifier(theirs), equals, sql.Identifier(mine))
        for mine, theirs, equals in key.pairs
    )


def _literal(value: str | int | None) -> sql.Composable:
    return sql.SQL("NULL::pg_catalog.text") if value is None else sql.Literal(value)


def _slowly(insert: Callable[[sql.Composable], sql.Composable]) -> sql.Composable:
    """The same INSERT by slices and, where one fails, by rows: whatever the server refuses is found."""
    body = sql.SQL(
        """
#variable_conflict use_column
DECLARE
    slice record; one record; state text; constr text; col text; words text; got int8; landed int8 := 0;
BEGIN
    FOR slice IN
        SELECT pg_catalog.min(q.n) AS low, pg_catalog.max(q.n) AS high
          FROM (SELECT b.{n} AS n, (pg_catalog.row_number() OVER (ORDER BY b.{n}) - 1) / {size} AS part
                  FROM {block} AS b WHERE {good}) AS q
         GROUP BY q.part ORDER BY q.part
    LOOP
        BEGIN
            {some};
            GET DIAGNOSTICS got = ROW_COUNT;
            landed := landed + got;
        EXCEPTION WHEN OTHERS THEN
            IF NOT {of_rows} THEN
                RAISE;
            END IF;
            FOR one IN SELECT b.{n} AS n FROM {block} AS b
                WHERE b.{n} BETWEEN slice.low AND slice.high AND {good} ORDER BY b.{n}
            LOOP
                BEGIN
                    {single};
                    GET DIAGNOSTICS got = ROW_COUNT;
                    landed := landed + got;
                EXCEPTION WHEN OTHERS THEN
                    IF NOT {of_rows} THEN
                        RAISE;
                    END IF;
                    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, constr = CONSTRAINT_NAME,
                        col = COLUMN_NAME, words = MESSAGE_TEXT;
                    INSERT INTO {bad} VALUES (one.n, words, state, nullif(constr, ''), nullif(col, ''));
                END;
            END LOOP;
        END;
    END LOOP;
    PERFORM pg_catalog.set_config('copypump.landed', landed::text, true);
END"""
    ).format(
        n=_N,
        of_rows=_IS_OF_ROWS,
        size=sql.Literal(_SLICE),
        block=BLOCK,
        bad=_BAD,
        good=_GOOD,
        some=insert(sql.SQL("b.{} BETWEEN slice.low AND slice.high AND {}").format(_N, _GOOD)),
        single=insert(sql.SQL("b.{} OPERATOR(pg_catalog.=) one.n").format(_N)),
    )
    text, tag = body.as_string(), "copypump"
    while f"${tag}$" in text:
        tag += "_"
    return sql.SQL("DO ${}${}\n${}$").format(sql.SQL(tag), sql.SQL(text), sql.SQL(tag))


class Lander:
    """Lands blocks, in one transaction: `prepare`, let somebody fill the staging table, and `land`."""

    def __init__(self, session: Session, statements: Statements, table: str) -> None:
        self._session = session
        self._statements = statements
        self._table = table
        self._made = False
        self._slowly = False  # the last block had what only single rows tell
        self._indexed = False

    def _run(self, *statements: str | sql.Composable) -> list[int]:
        """Run several at once; give how many rows each has touched."""
        text = "; ".join(s if isinstance(s, str) else s.as_string() for s in statements)
        with told(Side.TARGET, table=self._table):
            return [result.command_tuples or 0 for result in self._session.results(text)]

    def prepare(self) -> None:
        """Make the staging table, or empty it: without a new file, as this very transaction has made it."""
        if self._made:
            self._run(sql.SQL("TRUNCATE {}, {}").format(BLOCK, _BAD))
        else:
            self._run(*self._statements.make)
            self._made = True

    def land(self) -> tuple[int, int]:
        """Land the staged rows; give how many landed, and how many were rejected."""
        landed = rejected = 0
        for round_ in range(_MOST_ROUNDS + 1):
            took, bad, waiting = self._round(by_rows=round_ == _MOST_ROUNDS)
            landed, rejected = landed + took, rejected + bad
            if not waiting:
                break
        return landed, rejected

    def _round(self, *, by_rows: bool) -> tuple[int, int, int]:
        """Land all rows but those that have to wait for others; those are left in the block."""
        statements = self._statements
        if not by_rows and (statements.find or statements.wait or statements.orphans):
            try:
                self._find()
            except TargetError as error:
                if not (error.sqlstate or "").startswith(_RULE_ERRORS):
                    raise
                self._run("ROLLBACK TO SAVEPOINT copypump_rules")
            self._run("RELEASE SAVEPOINT copypump_rules")
        took = self._insert(by_rows=by_rows)
        bad = self._keep()
        waiting = 0
        if statements.wait or statements.orphans:
            self._run(_LEAVE_WAITING, sql.SQL("TRUNCATE {}").format(_BAD))
            [(waiting,)] = self._session.execute(sql.SQL("SELECT pg_catalog.count(*) FROM {}").format(BLOCK))
        return took, bad, waiting

    def _find(self) -> None:
        statements = self._statements
        self._run("SAVEPOINT copypump_rules", *statements.find)
        for orphans, _ in statements.orphans:
            while self._run(orphans) != [0]:
                pass
        if statements.wait:
            self._run(*statements.wait)
        for _, waiting in statements.orphans:
            while self._run(waiting) != [0]:
                pass

    def _keep(self) -> int:
        """Put what is bad on record; all values as their text where jsonb has no place for one.

        It has none for a NUL within json, and for numbers there of more digits than a numeric has.
        """
        savepoint = "SAVEPOINT copypump_keep", "RELEASE SAVEPOINT copypump_keep"
        try:
            return self._run(savepoint[0], self._statements.keep, savepoint[1])[1]
        except TargetError as error:
            if not is_of_rows(error):
                raise
        return self._run("ROLLBACK TO SAVEPOINT copypump_keep", self._statements.keep_texts, savepoint[1])[1]

    def _insert(self, *, by_rows: bool) -> int:
        if not by_rows and not self._slowly:
            savepoint = "SAVEPOINT copypump_rows", "RELEASE SAVEPOINT copypump_rows"
            try:
                return self._run(savepoint[0], self._statements.insert, savepoint[1])[1]
            except TargetError as error:
                if not is_of_rows(error):
                    raise
                self._run("ROLLBACK TO SAVEPOINT copypump_rows", savepoint[1])
        if not self._indexed:
            self._run(sql.SQL("CREATE INDEX ON {} ({})").format(BLOCK, _N))
            self._indexed = True
        count = sql.SQL("SELECT pg_catalog.count(*) FROM {}").format(_BAD)
        [(before,)] = self._session.execute(count)
        self._run(self._statements.insert_slowly)
        [(after,)] = self._session.execute(count)
        self._slowly = after > before
        [(landed,)] = self._session.execute("SELECT pg_catalog.current_setting('copypump.landed')")
        return int(landed)
