"""The zoo's types with parts: arrays, enums, domains, composites, ranges and multiranges, and one in another.

Where a user-defined type's oid stands on the wire (in arrays and composites, also inside of ranges), a table
is held against a pipe of text.
"""

from __future__ import annotations

from tests.zoo.facts import NO_BINARY_FORM, Needs, Yardstick, ZooTable, one_type, unrepresentable

# Types that many tables use. `same.mood` and `public.mood` differ by their schema alone; the attribute that
# "grown" had in the middle is dropped; the labels of "labels" stand in another order than they were made in.
TYPES = r"""
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE SCHEMA same;
CREATE TYPE same.mood AS ENUM ('moody', 'happy');
CREATE TYPE labels AS ENUM ('', 'it''s', 'a "b"', 'žluť €𐍈', 'with, comma', '{brace}', 'NULL', 'UPPER', 'upper');
ALTER TYPE labels ADD VALUE 'before' BEFORE 'it''s';
ALTER TYPE labels ADD VALUE 'lllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll63';
ALTER TYPE labels RENAME VALUE 'UPPER' TO 'RENAMED';
CREATE TYPE nothing AS ENUM ();

CREATE DOMAIN posint AS int CHECK (VALUE > 0);
CREATE DOMAIN smallposint AS posint CHECK (VALUE < 100);
CREATE DOMAIN short AS varchar(5);
CREATE DOMAIN price AS numeric(12,3) DEFAULT 1.5;
CREATE DOMAIN moment AS timestamptz(0);
CREATE DOMAIN good AS mood CHECK (VALUE <> 'sad');
CREATE DOMAIN ints AS int[] CHECK (array_length(VALUE, 1) < 5);
CREATE DOMAIN moods AS mood[];
CREATE DOMAIN shorts AS short[];

CREATE TYPE pair AS (a int, b text);
CREATE TYPE segment AS (p pair, q pair, m mood);
CREATE TYPE deep AS (s segment, ss segment[], d price, ds posint[]);
CREATE TYPE grown AS (a int, gone text, b mood);
ALTER TYPE grown DROP ATTRIBUTE gone;
ALTER TYPE grown ADD ATTRIBUTE c numeric(10,2);
CREATE TYPE hollow AS ();
CREATE TYPE "Odd ""Type"".x" AS ("select" int, "Upper" text, "upper" bool, "with.dot" date, "é€𐍈" "char");
CREATE TYPE scalars AS (b bool, i2 int2, i8 int8, f float8, n numeric, n2 numeric(10,2), t varchar(5), y bytea,
    u uuid, j jsonb, d date, ti time, ts timestamp(3), iv interval, bi bit(3), inet inet, p point, o oid);
CREATE TYPE with_acl AS (a int, acl aclitem);
CREATE DOMAIN some_pair AS pair CHECK ((VALUE).a IS DISTINCT FROM 0);
CREATE TABLE as_row (a int, gone text, m mood, g int GENERATED ALWAYS AS (a + 1) STORED);
ALTER TABLE as_row DROP gone;

CREATE TYPE floatrange AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE TYPE moodrange AS RANGE (subtype = mood);
CREATE TYPE textrange AS RANGE (subtype = text, collation = "C");
CREATE TYPE pairrange AS RANGE (subtype = pair);
CREATE TYPE arrayrange AS RANGE (subtype = int[]);
CREATE TYPE moodsrange AS RANGE (subtype = mood[]);
CREATE TYPE domainrange AS RANGE (subtype = price);
CREATE DOMAIN nearby AS int4range CHECK (lower(VALUE) > 0);
CREATE TYPE trip AS (days daterange, moods moodrange, prices nummultirange);
"""

_ARRAYS = (
    one_type(
        "a_int4",
        "int4[]",
        "'{}'",
        "'{1}'",
        "'{NULL}'",
        "'{1,NULL,-2147483648}'",
        "('{NULL,1,2}'::int4[])[2:3]",  # a flag says that NULLs are there, and none is
        "('{NULL,1}'::int4[])[3:4]",
        "SELECT array_agg(i) FROM generate_series(1, 30000) AS i",
    ),
    one_type("a_int4_two_dimensions", "int4[]", "'{1}'", "'{{1,2},{3,NULL}}'", read=unrepresentable(2)),
    one_type(
        "a_int4_three_dimensions",
        "int4[]",
        "'{}'",
        "'{1,2}'",
        "'{{{1,2},{3,4}},{{5,NULL},{7,8}}}'",
        read=unrepresentable(3),
    ),
    one_type("a_int4_lower_bound", "int4[]", "'{1}'", "'[0:1]={1,2}'", read=unrepresentable(2)),
    one_type("a_int4_negative_bound", "int4[]", "'[-3:-2]={1,NULL}'", read=unrepresentable(1)),
    one_type(
        "a_int4_bounds", "int4[]", "'{1}'", "'[2:3][-1:0]={{1,NULL},{3,4}}'", read=unrepresentable(2)
    ),
    one_type("a_bool", "bool[]", "'{}'", "'{t,NULL,f}'"),
    one_type("a_int2", "int2[]", "'{-32768,NULL,32767}'"),
    one_type("a_int8", "int8[]", "'{-9223372036854775808,NULL,9223372036854775807}'"),
    one_type("a_float4", "float4[]", "'{-0,NaN,Infinity,1e-45}'"),
    one_type("a_float8", "float8[]", "'{-0,NaN,-Infinity,NULL}'", "ARRAY[- 'NaN'::float8]"),
    one_type("a_numeric", "numeric[]", "'{NaN,Infinity,1.50,NULL,0.00005000}'"),
    one_type("a_numeric_10_2", "numeric(10,2)[]", "'{1.50,NULL,-99999999.99,0}'"),
    one_type("a_numeric_nan", "numeric(10,2)[]", "'{1.50}'", "'{1,NaN}'", read=unrepresentable(2)),
    one_type("a_text", "text[]", "'{}'", "ARRAY['', NULL, 'NULL', 'žluť €𐍈', E'\\t\\n\\\\', '{\"}']"),
    one_type("a_varchar_5", "varchar(5)[]", "ARRAY['', NULL, 'ab  ', '€€€€€']"),
    one_type("a_char_5", "char(5)[]", "ARRAY['', NULL, 'ab']"),
    one_type("a_name", "name[]", "ARRAY[repeat('n', 63), NULL, '']::name[]"),
    one_type("a_internal_char", '"char"[]', "ARRAY[(0)::\"char\", (-128)::\"char\", NULL, (-61)::\"char\"]"),
    one_type("a_bytea", "bytea[]", r"ARRAY['\x'::bytea, NULL, '\x00ff']"),
    one_type("a_uuid", "uuid[]", "ARRAY[repeat('f', 32)::uuid, NULL]"),
    one_type("a_json", "json[]", "ARRAY['{\"a\" :1}'::json, NULL, 'null']"),
    one_type("a_jsonb", "jsonb[]", "ARRAY['{\"a\" :1.50}'::jsonb, NULL, 'null']"),
    one_type("a_date", "date[]", "'{infinity,-infinity,NULL,1970-01-01}'"),
    one_type("a_time", "time[]", "'{00:00,NULL,23:59:59.999999}'"),
    one_type("a_time_24", "time[]", "'{00:00}'", "'{NULL,24:00}'", read=unrepresentable(2)),
    one_type("a_timetz", "timetz[]", "'{00:00+00,NULL,23:59:59.999999-15:59}'"),
    one_type("a_timestamp", "timestamp[]", "'{infinity,-infinity,NULL,1999-12-31}'"),
    one_type("a_timestamp_far", "timestamp[]", "'{294276-12-31}'", read=unrepresentable(1)),
    one_type("a_timestamptz", "timestamptz(0)[]", "'{infinity,NULL,1999-12-31 00:00+00}'"),
    one_type("a_interval", "interval[]", "'{1 mon -1 day 00:00:01.5,NULL,0}'"),
    one_type("a_interval_infinite", "interval[]", "'{infinity,NULL,-infinity}'", needs=Needs(since=17)),
    one_type("a_money", "money[]", "ARRAY['12.34'::money, NULL, '-0.01']"),
    one_type("a_bit_3", "bit(3)[]", "ARRAY[B'101', NULL]"),
    one_type("a_varbit", "varbit[]", "ARRAY[B'', NULL, B'100000001']"),
    one_type("a_oid", "oid[]", "'{0,4294967295,NULL}'"),
    one_type("a_regclass", "regclass[]", "'{pg_class,NULL,4294967295}'"),
    one_type("a_xid8", "xid8[]", "ARRAY['18446744073709551615'::xid8, NULL]"),
    one_type("a_inet", "inet[]", "'{10.0.0.0/8,NULL,::1}'"),
    one_type("a_point", "point[]", "ARRAY['(0,-0)'::point, NULL, '(NaN,1)']"),
    one_type("a_box", "box[]", "ARRAY['(1,1),(0,0)'::box, NULL]"),
    one_type("a_tsvector", "tsvector[]", "ARRAY['a:1 b'::tsvector, NULL, '']"),
    one_type("a_int2vector", "int2vector[]", "ARRAY['1 2'::int2vector, NULL]"),
    one_type("a_aclitem", "aclitem[]", "'{postgres=r/postgres}'", moved=NO_BINARY_FORM),
)  # fmt: skip

_ENUMS = (
    one_type("e_mood", "mood", "'sad'", "'ok'", "'happy'"),
    one_type("e_mood_of_another_schema", "same.mood", "'moody'", "'happy'"),
    ZooTable(
        "e_labels",
        "CREATE TABLE e_labels (id int, v labels)",
        "INSERT INTO e_labels SELECT row_number() OVER (ORDER BY l), l"
        " FROM unnest(enum_range(NULL::labels)) AS l",
    ),
    one_type("e_nothing", "nothing"),
    one_type("e_moods", "mood[]", "'{}'", "'{sad,NULL,happy}'", "('{NULL,sad,ok}'::mood[])[2:3]", text=True),
    one_type("e_moods_of_another_schema", "same.mood[]", "'{moody,NULL}'", "'{}'", text=True),
    one_type("e_nothings", "nothing[]", "'{}'", "'{NULL}'", text=True),
    one_type(
        "e_moods_two_dimensions",
        "mood[]",
        "'{sad}'",
        "'{{sad,NULL},{ok,happy}}'",
        text=True,
        read=unrepresentable(2),
    ),
    one_type("e_moods_lower_bound", "mood[]", "'[2:3]={sad,ok}'", text=True, read=unrepresentable(1)),
)

_DOMAINS = (
    one_type("d_posint", "posint", "1", "2147483647"),
    one_type("d_of_domain", "smallposint", "1", "99"),
    one_type("d_short", "short", "''", "'ab  '", "'€€€€€'"),
    one_type("d_price", "price", "1.5", "-999999999.999", "0"),
    one_type("d_price_nan", "price", "1.5", "'NaN'", read=unrepresentable(2)),
    one_type("d_moment", "moment", "'1999-12-31 23:59:59+00'", "'infinity'"),
    one_type("d_enum", "good", "'ok'", "'happy'"),
    one_type("d_array", "ints", "'{}'", "'{1,NULL}'"),
    one_type("d_array_two_dimensions", "ints", "'{{1,2},{3,4}}'", read=unrepresentable(1)),
    one_type("d_array_of_enum", "moods", "'{sad,NULL}'", text=True),
    one_type("d_array_of_domain", "shorts", "'{ab,NULL}'", text=True),
    one_type("d_range", "nearby", "'[1,5)'", "'[7,)'"),
    one_type("d_composite", "some_pair", "ROW(1, NULL)", "ROW(-1, 'é')"),
    one_type("d_elements", "posint[]", "'{}'", "'{1,NULL,2147483647}'", text=True),
    one_type("d_elements_price", "price[]", "'{1.5,NULL,-0.001}'", text=True),
    # An array that may hold arrays: a domain stands between.
    one_type("d_elements_array", "ints[]", "ARRAY['{1,NULL}'::ints, NULL, '{}']", text=True),
    one_type("d_elements_composite", "some_pair[]", "ARRAY[ROW(1, 'a')::some_pair, NULL]", text=True),
    one_type("d_elements_enum", "good[]", "'{ok,NULL}'", text=True),
    ZooTable(
        "d_not_null",
        "CREATE DOMAIN given AS text NOT NULL DEFAULT 'x'; CREATE TABLE d_not_null (id int, v given)",
        "INSERT INTO d_not_null VALUES (1, ''), (2, 'é'), (3, DEFAULT)",
    ),
)

_SCALARS_ROW = r"""ROW(true, 1, 2, '-0', 'NaN', 1.50, 'ab  ', '\x00ff', repeat('f', 32)::uuid, '{"a": 1.50}',
    'infinity', '23:59:59.999999', '1999-12-31 23:59:59.999', '1 mon -1 day', B'101', '::1', '(0,-0)', 4294967295)"""

_COMPOSITES = (
    one_type("c_pair", "pair", "ROW(1, 'é')", "ROW(NULL, NULL)", "ROW(NULL, '')", "ROW(-1, NULL)"),
    one_type(
        "c_nested",
        "segment",
        "ROW(ROW(1, 'a')::pair, ROW(NULL, NULL)::pair, 'ok')",
        "ROW(NULL, ROW(2, '')::pair, NULL)",
        "ROW(NULL, NULL, NULL)",
        text=True,
    ),
    one_type(
        "c_deep",
        "deep",
        "ROW(ROW(ROW(1, 'a')::pair, NULL, 'sad')::segment, ARRAY[ROW(NULL, ROW(2, 'b')::pair, NULL)::segment,"
        " NULL], 1.5, '{1,NULL}')",
        "ROW(NULL, '{}', NULL, '{}')",
        "ROW(NULL, NULL, NULL, NULL)",
        text=True,
    ),
    one_type("c_dropped_attribute", "grown", "ROW(1, 'ok', 1.50)", "ROW(NULL, NULL, NULL)", text=True),
    # Rows that are older than an attribute's end and another's beginning.
    ZooTable(
        "c_changed_attributes",
        "CREATE TYPE changing AS (a int, b text, c mood); CREATE TABLE c_changed_attributes (id int, v changing)",
        "INSERT INTO c_changed_attributes VALUES (1, ROW(1, 'b', 'ok')), (2, NULL);"
        "ALTER TYPE changing DROP ATTRIBUTE b; ALTER TYPE changing ADD ATTRIBUTE d int;"
        "INSERT INTO c_changed_attributes VALUES (3, ROW(1, 'sad', 2))",
        landing="CREATE TYPE changing AS (a int, c mood, d int);"
        "CREATE TABLE c_changed_attributes (id int, v changing)",
        yardstick=Yardstick.TEXT,
    ),
    one_type("c_hollow", "hollow", "ROW()"),
    one_type("c_odd_names", '"Odd ""Type"".x"', "ROW(1, 'a', true, '1970-01-01', 'x')"),
    one_type("c_scalars", "scalars", _SCALARS_ROW),
    one_type("c_row_of_table", "as_row", "ROW(1, 'ok', 2)", "ROW(NULL, NULL, NULL)", text=True),
    one_type("c_array", "pair[]", "ARRAY[ROW(1, 'a')::pair, NULL, ROW(NULL, NULL)]", "'{}'", text=True),
    one_type(
        "c_array_two_dimensions", "pair[]", "'{{\"(1,a)\"},{NULL}}'", text=True, read=unrepresentable(1)
    ),
    one_type("c_array_nested", "segment[]", "ARRAY[ROW(ROW(1, 'a')::pair, NULL, 'ok')::segment]", text=True),
    one_type("c_array_hollow", "hollow[]", "ARRAY[ROW()::hollow, NULL]", text=True),
    one_type(
        "c_with_array_unfit",
        "holds_array",
        "ROW('{1}')",
        "ROW('{{1}}')",
        before="CREATE TYPE holds_array AS (a int[])",
        read=unrepresentable(2),
    ),
    one_type(
        "c_with_time_24",
        "holds_time",
        "ROW(1, '00:00')",
        "ROW(1, '24:00')",
        before="CREATE TYPE holds_time AS (a int, t time)",
        read=unrepresentable(2),
    ),
    one_type(
        "c_with_numeric_nan",
        "holds_numeric",
        "ROW(1.5)",
        "NULL",
        "ROW('NaN')",
        before="CREATE TYPE holds_numeric AS (n numeric(5,2))",
        read=unrepresentable(3),
    ),
    one_type("c_aclitem", "with_acl", "ROW(1, 'postgres=r/postgres')", moved=NO_BINARY_FORM),
)

_NUMBER_RANGES = ("'empty'", "'(,)'", "'[1.5,)'", "'(1.5,)'", "'(,2.5]'", "'(,2.5)'", "'[1.5,2.5]'",
                  "'(1.5,2.5]'", "'[1.5,2.5)'", "'(1.5,2.5)'", "'[1.5,1.5]'")  # fmt: skip

_RANGES = (
    one_type(
        "r_int4range",
        "int4range",
        "'empty'",
        "'(,)'",
        "'[1,)'",
        "'(,5)'",
        "'[1,5]'",
        "'(1,5)'",
        "'[-2147483648,2147483647)'",
    ),
    one_type("r_int8range", "int8range", "'[-9223372036854775808,9223372036854775807)'", "'empty'", "'(,)'"),
    one_type("r_numrange", "numrange", *_NUMBER_RANGES, "'[-Infinity,NaN]'"),
    one_type("r_tsrange", "tsrange", "'[1999-12-31,infinity)'", "'(-infinity,)'", "'empty'", "'(,infinity]'"),
    one_type("r_tsrange_far", "tsrange", "'empty'", "'[1999-12-31,294276-12-31]'", read=unrepresentable(2)),
    one_type("r_tstzrange", "tstzrange", "'[1999-12-31 00:00+00,infinity]'", "'(,)'"),
    one_type("r_daterange", "daterange", "'[1970-01-01,2000-02-29]'", "'[-infinity,infinity]'", "'(,)'"),
    one_type("r_floatrange", "floatrange", *_NUMBER_RANGES, "'[-Infinity,NaN]'"),
    one_type("r_of_enum", "moodrange", "'[sad,happy]'", "'(sad,)'", "'empty'"),
    one_type("r_of_text", "textrange", "'[a,b)'", '\'["","é,\\"")\'', "'(,)'"),
    one_type("r_of_domain", "domainrange", "'[1.5,2.5]'", "'(,2.5)'", "'empty'"),
    one_type("r_of_array", "arrayrange", "arrayrange('{1}', '{1,NULL}')", "'empty'"),
    one_type("r_of_array_of_enum", "moodsrange", "moodsrange('{sad}', '{sad,ok}', '[]')", "'(,)'", text=True),
    one_type("r_of_composite", "pairrange", "pairrange(ROW(1, 'a'), ROW(2, NULL))", "'empty'", "'(,)'"),
    one_type("r_array", "int4range[]", "'{}'", "ARRAY['[1,5)'::int4range, NULL, 'empty', '(,)']"),
    one_type("r_array_of_own", "floatrange[]", "ARRAY['[1.5,2.5]'::floatrange, NULL, 'empty']", text=True),
    one_type("r_array_of_enum", "moodrange[]", "ARRAY['[sad,ok)'::moodrange, NULL]", text=True),
    one_type(
        "r_in_composite",
        "trip",
        "ROW('[1970-01-01,infinity]', '[sad,ok]', '{[1.5,2.5),(3,)}')",
        "ROW('empty', NULL, '{}')",
        text=True,
    ),
)

_MULTIRANGES = (
    one_type("m_int4multirange", "int4multirange", "'{}'", "'{(,)}'", "'{[1,2),[5,7),[9,)}'", "'{(,-5)}'"),
    one_type("m_int8multirange", "int8multirange", "'{}'", "'{[-9223372036854775808,0),[5,)}'"),
    one_type("m_nummultirange", "nummultirange", "'{}'", "'{(1,1.50),[2,2],(3,4],(NaN,)}'", "'{(,)}'"),
    one_type("m_tsmultirange", "tsmultirange", "'{[-infinity,1999-12-31),(2000-01-01,infinity]}'"),
    one_type("m_tsmultirange_far", "tsmultirange", "'{}'", "'{[294276-12-31,)}'", read=unrepresentable(2)),
    one_type("m_tstzmultirange", "tstzmultirange", "'{[1999-12-31 00:00+00,infinity)}'", "'{}'"),
    one_type("m_datemultirange", "datemultirange", "'{[1970-01-01,2000-02-29],[2001-01-01,)}'", "'{}'"),
    one_type("m_floatmultirange", "floatmultirange", "'{}'", "'{(1,1.5),[2,2],(3,)}'"),
    one_type("m_of_enum", "moodmultirange", "'{[sad,sad],(ok,)}'", "'{}'"),
    one_type("m_of_composite", "pairmultirange", "'{}'", "pairmultirange(pairrange(ROW(1, 'a'), NULL))"),
    one_type("m_array", "int4multirange[]", "ARRAY['{[1,2),[5,)}'::int4multirange, NULL, '{}']"),
    one_type("m_array_of_enum", "moodmultirange[]", "ARRAY['{[sad,sad],(ok,)}'::moodmultirange]", text=True),
)

NESTED = (*_ARRAYS, *_ENUMS, *_DOMAINS, *_COMPOSITES, *_RANGES, *_MULTIRANGES)
