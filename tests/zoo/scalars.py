"""The zoo's scalars: every built-in type of a single value, with the values at its edges."""

from __future__ import annotations

from copypump.errors import TargetError
from tests.zoo.facts import NO_BINARY_FORM, Fails, Home, Needs, ZooTable, one_type, unrepresentable

# Characters of one to four bytes in UTF-8, the last of each width, and what text formats trip over.
_TEXTS = (
    "''",
    "'a'",
    "E'\\u0080 é \\u07ff'",
    "E'\\u0800 € \\uffff'",
    "E'\\U00010000 𐍈 \\U0010ffff'",
    r"'\N'",
    r"'\.'",
    r"""E'tab\t newline\n return\r quote'' double" backslash\\ percent% {},()'""",
    "SELECT string_agg(chr(i), '') FROM generate_series(1, 127) AS i",
    "' blanks  '",
)
_FLOATS = ("'-0'", "'0'", "'NaN'", "- 'NaN'::float8", "'Infinity'", "'-Infinity'", "0.1", "1.0/3")
_SMALL = Needs(since=15)  # the version that brought negative scales


def _not_received(row: int) -> Fails:
    return Fails(TargetError, "v", row)


_BOOLEANS_AND_NUMBERS = (
    one_type("t_bool", "bool", "true", "false"),
    one_type("t_int2", "int2", "-32768", "32767", "0", "-1"),
    one_type("t_int4", "int4", "-2147483648", "2147483647", "0", "-1"),
    one_type("t_int8", "int8", "-9223372036854775808", "9223372036854775807", "0", "-1"),
    one_type("t_float4", "float4", *_FLOATS, "'1e-45'", "'3.4028235e38'", "'-1.1754944e-38'"),
    one_type("t_float8", "float8", *_FLOATS, "'5e-324'", "'1.7976931348623157e308'"),
    one_type(
        "t_money", "money", "'-92233720368547758.08'", "'92233720368547758.07'", "'0'", "'-0.01'", "'12.34'"
    ),
)

_NUMERICS = (
    one_type(
        "t_numeric",
        "numeric",
        "'NaN'",
        "'Infinity'",
        "'-Infinity'",
        "0",
        "'0.000'",
        "1.50",
        "-1.5",
        "0.00005000",
        "10000",
        "9999.9999",
        "-0.0001",
        "100000000.00000001",
        "'1e131071'",
        "'1e-16383'",
        "SELECT (repeat('1234567890', 100) || '.' || repeat('0987654321', 100))::numeric",
    ),
    one_type(
        "t_numeric_38_10",
        "numeric(38,10)",
        "'9999999999999999999999999999.9999999999'",
        "'-9999999999999999999999999999.9999999999'",
        "0",
        "'0.0000000001'",
        "'-0.0000000001'",
        "10000",
        "'0.0001'",
        "1.5",
    ),
    one_type("t_numeric_38_0", "numeric(38)", "repeat('9', 38)", "'-' || repeat('9', 38)", "0", "10000"),
    one_type(
        "t_numeric_76_38",
        "numeric(76,38)",
        "repeat('9', 38) || '.' || repeat('9', 38)",
        "'-' || repeat('9', 38) || '.' || repeat('9', 38)",
        "0",
        "'0.' || repeat('0', 37) || '1'",
        "'1' || repeat('0', 37)",
    ),
    one_type("t_numeric_76_76", "numeric(76,76)", "'0.' || repeat('9', 76)", "0", "'-0.5'"),
    one_type("t_numeric_77_0", "numeric(77,0)", "repeat('9', 77)", "'-' || repeat('9', 77)", "'NaN'", "0"),
    one_type("t_numeric_1000_0", "numeric(1000,0)", "repeat('9', 1000)", "'NaN'", "0", "'-1'"),
    one_type("t_numeric_10_4", "numeric(10,4)", "999999.9999", "0.0001", "0", "-1.5", "20000", "-0.00010"),
    one_type(
        "t_numeric_negative_scale", "numeric(5,-3)", "99999000", "-1000", "0", "'12345678'", needs=_SMALL
    ),
    one_type("t_numeric_small_fractions", "numeric(3,7)", "0.0000999", "-0.0000001", "0", needs=_SMALL),
    one_type("t_numeric_nan", "numeric(10,2)", "1.50", "'NaN'", read=unrepresentable(2)),
    one_type("t_numeric_nan_256", "numeric(50,2)", "1.50", "-1", "'NaN'", read=unrepresentable(3)),
)

_TEXT = (
    one_type("t_text", "text", *_TEXTS),
    one_type("t_varchar", "varchar", *_TEXTS),
    one_type("t_varchar_10", "varchar(10)", "''", "'ab  '", "'žluťoučký𐍈'", "repeat('€', 10)"),
    one_type("t_char", "char", "'a'", "' '", "'€'"),
    one_type("t_char_5", "char(5)", "''", "'ab'", "'ab   '", "repeat('𐍈', 5)"),
    one_type("t_bpchar", "bpchar", "''", "'ab   '", "'   '"),
    one_type("t_name", "name", "''", "repeat('n', 63)", "repeat('é', 31)", "'Na\"me'"),
    # Made from signed numbers, as the type's own casts have it: 00, 80, c3, 7f, ff.
    one_type("t_internal_char", '"char"', "0", "-128", "-61", "127", "-1", "'a'::\"char\""),
    one_type("t_refcursor", "refcursor", "''", "'a cursor'"),
    one_type("t_json", "json", "'{\"a\" :1,  \"a\": 1.50}'", "'null'", "'[]'", "' 1e400'", r"""'"\u0000"'"""),
    one_type(
        "t_jsonb",
        "jsonb",
        "'{\"b\": 1.50, \"aa\": [], \"b\": {\"c\": null}}'",
        "'null'",
        "'[]'",
        "'{}'",
        "'1e400'",
        "'\"é€𐍈\"'",
        "'-0.0'",
        "'[[[[true, false]]], \"\"]'",
    ),
    one_type("t_jsonpath", "jsonpath", "'$'", "'strict $.a[*] ? (@.b > 1.50 && @ like_regex \"^a\")'"),
    one_type("t_xml", "xml", "'<a/>'", "'a<b>é</b>c &amp; d'", "''",
             "'<?xml version=\"1.0\" encoding=\"UTF-8\"?><a>€</a>'",
             "'<?xml version=\"1.0\" standalone=\"yes\"?><!DOCTYPE a [<!ELEMENT a ANY>]><a/>'",
             needs=Needs(Home.SYSTEM)),
    # Values of 1 to 100 kB, which are compressed, or stand in a TOAST table, or both.
    one_type(
        "t_text_toast",
        "text",
        "repeat('é', 500)",
        "repeat('long ', 20000)",
        "SELECT string_agg(md5(i::text), '€') FROM generate_series(1, 3000) AS i",
        "repeat('x', 8192)",
    ),
    ZooTable(
        "t_text_external",
        "CREATE TABLE t_text_external (id int, v text);"
        "ALTER TABLE t_text_external ALTER v SET STORAGE EXTERNAL",
        "INSERT INTO t_text_external SELECT i, repeat(chr(100 + i), i * i * 1000) FROM generate_series(1, 10) i",
    ),
    one_type(
        "t_jsonb_toast",
        "jsonb",
        "SELECT jsonb_object_agg(md5(i::text), i) FROM generate_series(1, 2000) AS i",
    ),
)  # fmt: skip

_BYTES = (
    one_type(
        "t_bytea",
        "bytea",
        "''",
        r"'\x00'",
        "SELECT string_agg(set_byte('\\x00', 0, i), '') FROM generate_series(0, 255) AS i",
        "SELECT string_agg(sha256(i::text::bytea), '') FROM generate_series(1, 3200) AS i",
    ),
    one_type(
        "t_uuid", "uuid", "repeat('0', 32)", "repeat('f', 32)", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"
    ),
    one_type("t_bit_1", "bit", "B'0'", "B'1'"),
    one_type("t_bit_13", "bit(13)", "B'1010101010101'", "B'0000000000000'", "B'1111111111111'"),
    one_type("t_varbit", "varbit", "B''", "B'1'", "B'10000000'", "B'100000001'", "repeat('10', 500)::varbit"),
    one_type("t_varbit_20", "varbit(20)", "B''", "B'11111111111111111111'", "B'0'"),
)

_TIMES = (
    one_type(
        "t_date",
        "date",
        "'4714-11-24 BC'",
        "'5874897-12-31'",
        "'infinity'",
        "'-infinity'",
        "'0001-12-31 BC'",
        "'1969-12-31'",
        "'1970-01-01'",
        "'1999-12-31'",
        "'2000-02-29'",
    ),
    one_type("t_time", "time", "'00:00'", "'23:59:59.999999'", "'12:34:56.5'"),
    one_type("t_time_3", "time(3)", "'00:00:00.001'", "'23:59:59.999'"),
    one_type("t_time_24", "time", "'00:00'", "'23:59'", "'24:00'", read=unrepresentable(3)),
    one_type(
        "t_timetz",
        "timetz",
        "'00:00+00'",
        "'23:59:59.999999+15:59:59'",
        "'00:00-15:59:59'",
        "'12:00:00.5+05:30'",
    ),
    one_type("t_timetz_24", "timetz", "'00:00+00'", "'24:00-08'", read=unrepresentable(2)),
    one_type(
        "t_timestamp",
        "timestamp",
        "'4714-11-24 00:00:00 BC'",
        "'294247-01-10 04:00:54.775806'",  # the last one before the bits of infinity, as of 1970
        "'infinity'",
        "'-infinity'",
        "'1969-12-31 23:59:59.999999'",
        "'1970-01-01'",
        "'1999-12-31 23:59:59.999999'",
        "'2000-01-01'",
    ),
    one_type("t_timestamp_0", "timestamp(0)", "'1999-12-31 23:59:59'", "'infinity'"),
    one_type(
        "t_timestamp_bits_of_infinity",
        "timestamp",
        "'2000-01-01'",
        "'294247-01-10 04:00:54.775807'",
        read=unrepresentable(2),
    ),
    one_type(
        "t_timestamp_far",
        "timestamp",
        "'2000-01-01'",
        "'infinity'",
        "'294276-12-31 23:59:59.999999'",
        read=unrepresentable(3),
    ),
    one_type(
        "t_timestamptz",
        "timestamptz",
        "'4714-11-24 00:00:00+00 BC'",
        "'294247-01-10 04:00:54.775806+00'",
        "'infinity'",
        "'-infinity'",
        "'1999-12-31 23:59:59.999999-08'",
    ),
    one_type("t_timestamptz_3", "timestamptz(3)", "'1999-12-31 23:59:59.999+00'", "'-infinity'"),
    one_type("t_timestamptz_far", "timestamptz", "'294276-12-31 23:59:59.999999+00'", read=unrepresentable(1)),
    one_type(
        "t_interval",
        "interval",
        "'178956970 years 7 mons'",
        "'-178956970 years -8 mons'",
        "'2147483647 days'",
        "'-2147483648 days'",
        "'2562047788:00:54.775807'",
        "'-2562047788:00:54.775807'",
        "'1 mon -1 day 00:00:01.5'",
        "'0'",
        "'30 days'",
        "'720:00'",
    ),
    one_type("t_interval_year_to_month", "interval year to month", "'1 year 2 mons'", "'-1 mon'"),
    one_type("t_interval_3", "interval day to second(3)", "'1 day 00:00:01.234'"),
    one_type(
        "t_interval_infinite",
        "interval",
        "'infinity'",
        "'-infinity'",
        "'178956970 years 7 mons'",
        needs=Needs(since=17),
    ),
)  # fmt: skip

_NETWORK_SEARCH_AND_SHAPES = (
    one_type(
        "t_inet", "inet", "'10.1.2.3'", "'10.1.2.3/8'", "'::1'", "'fe80::1/64'", "'::/0'", "'0.0.0.0/0'"
    ),
    one_type("t_cidr", "cidr", "'10.0.0.0/8'", "'::/0'", "'2001:db8::/32'", "'1.2.3.4/32'"),
    one_type("t_macaddr", "macaddr", "'00:00:00:00:00:00'", "'ff:ff:ff:ff:ff:ff'", "'08:00:2b:01:02:03'"),
    one_type("t_macaddr8", "macaddr8", "'08:00:2b:01:02:03:04:05'", "'ff:ff:ff:ff:ff:ff:ff:ff'"),
    one_type(
        "t_tsvector",
        "tsvector",
        "''",
        "'a:1A,2B,3C,16383 b'",
        "$$'it''s' 'back\\\\slash' 'é€𐍈':5$$",
        "to_tsvector('english', repeat('many different words and stars ', 500))",
    ),
    one_type("t_tsquery", "tsquery", "'a'", "'!a & (b | c:*AB) <3> d'", "$$'it''s' <-> 'é'$$"),
    one_type("t_point", "point", "'(0,-0)'", "'(NaN,Infinity)'", "'(1e-300,-1e300)'"),
    one_type("t_line", "line", "'{1,-2,3.5}'", "'{0,1,0}'"),
    one_type("t_lseg", "lseg", "'[(0,0),(1,-1)]'"),
    one_type("t_box", "box", "'(1,1),(0,0)'", "'(Infinity,1),(-Infinity,0)'"),
    one_type("t_path", "path", "'[(0,0),(1,1),(2,0)]'", "'((0,0),(1,1),(2,0))'", "'[(1,2)]'"),
    one_type("t_polygon", "polygon", "'((0,0),(1,1),(2,0))'", "'((1,2))'"),
    one_type("t_circle", "circle", "'<(0,0),0>'", "'<(1,-2),3.5>'"),
)

_OF_THE_SERVER = (
    one_type("t_oid", "oid", "'0'", "'2147483648'", "'4294967295'"),
    one_type("t_xid", "xid", "'0'", "'3'", "'4294967295'"),
    one_type("t_cid", "cid", "'0'", "'4294967295'"),
    one_type("t_xid8", "xid8", "'0'", "'9223372036854775808'", "'18446744073709551615'"),
    one_type("t_pg_lsn", "pg_lsn", "'0/0'", "'FFFFFFFF/FFFFFFFF'", "'80000000/0'"),
    one_type("t_tid", "tid", "'(0,0)'", "'(4294967295,65535)'", "'(1,2)'"),
    one_type("t_txid_snapshot", "txid_snapshot", "'10:20:10,14,15'", "'1:1:'"),
    one_type("t_pg_snapshot", "pg_snapshot", "'10:20:10,14,15'", "'1:1:'"),
    one_type("t_regclass", "regclass", "'pg_class'", "'0'", "'4294967295'"),
    one_type("t_regcollation", "regcollation", "'\"C\"'", "'0'"),
    one_type("t_regconfig", "regconfig", "'simple'", "'0'"),
    one_type("t_regdictionary", "regdictionary", "'simple'", "'0'"),
    one_type("t_regnamespace", "regnamespace", "'pg_catalog'", "'4294967295'"),
    one_type("t_regoper", "regoper", "'||/'", "'0'"),
    one_type("t_regoperator", "regoperator", "'+(int4,int4)'", "'0'"),
    one_type("t_regproc", "regproc", "'now'", "'0'"),
    one_type("t_regprocedure", "regprocedure", "'sum(int4)'", "'4294967295'"),
    one_type("t_regrole", "regrole", "'pg_monitor'", "'4294967295'"),
    one_type("t_regtype", "regtype", "'int4'", "'text[]'", "'4294967295'"),
    one_type("t_int2vector", "int2vector", "'1 2 -3'", "'0'"),
    one_type("t_oidvector", "oidvector", "'1 2 4294967295'", "'0'"),
    # These are sent, yet what was sent is not received: it is the server that refuses, in its own words.
    one_type("t_int2vector_empty", "int2vector", "'1 2'", "''", moved=_not_received(2)),
    one_type("t_oidvector_empty", "oidvector", "'1 2'", "''", moved=_not_received(2)),
    one_type("t_tsquery_empty", "tsquery", "'a'", "'b'", "''", moved=_not_received(3)),
    one_type("t_aclitem", "aclitem", "'postgres=r/postgres'", moved=NO_BINARY_FORM),
)

SCALARS = (
    *_BOOLEANS_AND_NUMBERS,
    *_NUMERICS,
    *_TEXT,
    *_BYTES,
    *_TIMES,
    *_NETWORK_SEARCH_AND_SHAPES,
    *_OF_THE_SERVER,
)
