"""The zoo's types of extensions: contrib's on the distribution's server, pgvector's on the wheel's."""

from __future__ import annotations

from tests.zoo.facts import NO_BINARY_FORM, Home, Needs, ZooTable, one_type, unrepresentable


def _contrib(name: str) -> Needs:
    return Needs(Home.SYSTEM, extension=name)


_HSTORE = _contrib("hstore")
_LTREE = _contrib("ltree")
_VECTOR = Needs(Home.WHEEL, extension="vector")

_OF_CONTRIB = (
    one_type(
        "x_hstore",
        "hstore",
        "''",
        '\'a=>1, b=>NULL, ""=>""\'',
        '\'"é€𐍈"=>"NULL", long=>x, b=>"a=>\\"1\\""\'',
        "SELECT hstore(array_agg(i::text), array_agg(md5(i::text))) FROM generate_series(1, 2000) AS i",
        needs=_HSTORE,
    ),
    one_type("x_hstore_array", "hstore[]", "ARRAY['a=>1'::hstore, NULL, '']", needs=_HSTORE, text=True),
    one_type(
        "x_hstore_in_composite",
        "tagged",
        "ROW('a=>NULL', '{b=>1,NULL}')",
        before="CREATE TYPE tagged AS (one hstore, many hstore[])",
        needs=_HSTORE,
        text=True,
    ),
    one_type(
        "x_hstore_domain",
        "tags",
        "'a=>1'",
        before="CREATE DOMAIN tags AS hstore CHECK (NOT VALUE ? 'b')",
        needs=_HSTORE,
    ),
    one_type("x_citext", "citext", "''", "'MiXed é€𐍈'", "'ab  '", needs=_contrib("citext")),
    one_type("x_citext_array", "citext[]", "'{}'", "'{Ab,NULL,\"\"}'", needs=_contrib("citext"), text=True),
    one_type("x_ltree", "ltree", "''", "'Top.Science.Astronomy_1'", "repeat('a.', 500) || 'z'", needs=_LTREE),
    one_type("x_lquery", "lquery", "'*.a|b*@.!c{1,2}'", needs=_LTREE),
    one_type("x_ltxtquery", "ltxtquery", "'a & !b*@'", needs=_LTREE),
    one_type("x_ltree_array", "ltree[]", "'{a.b,NULL,c}'", needs=_LTREE, text=True),
    one_type(
        "x_ltree_array_lower_bound",
        "ltree[]",
        "'[0:1]={a.b,c}'",
        needs=_LTREE,
        text=True,
        read=unrepresentable(1),
    ),
    one_type("x_cube", "cube", "'(1,2,3)'", "'(0,0),(1,-1)'", "'()'", needs=_contrib("cube")),
    one_type("x_cube_array", "cube[]", "ARRAY['(1)'::cube, NULL]", needs=_contrib("cube"), text=True),
    one_type("x_lo", "lo", "'4294967295'", "'0'", needs=_contrib("lo")),
    one_type("x_seg", "seg", "'1.5 .. 2.50'", needs=_contrib("seg"), moved=NO_BINARY_FORM),
    one_type("x_isn", "isbn13", "'978-0-393-04002-9'", needs=_contrib("isn"), moved=NO_BINARY_FORM),
    one_type("x_query_int", "query_int", "'1&(2|!3)'", needs=_contrib("intarray"), moved=NO_BINARY_FORM),
)

_OF_PGVECTOR = (
    one_type("x_vector", "vector", "'[1,-0,3.5]'", "'[0]'", needs=_VECTOR),
    one_type("x_vector_3", "vector(3)", "'[1,-0,3.5]'", "'[1e-45,3.4028235e38,0]'", needs=_VECTOR),
    one_type(
        "x_vector_longest",
        "vector(16000)",
        "array_fill(0.1::float4, '{16000}')",
        "(SELECT array_agg(sin(i)::float4) FROM generate_series(1, 16000) AS i)",
        needs=_VECTOR,
    ),
    one_type("x_vector_of_any_length", "vector", "'[1]'", "array_fill(0.1::float4, '{1536}')", needs=_VECTOR),
    one_type("x_halfvec", "halfvec(3)", "'[1,-0,65504]'", needs=_VECTOR),
    one_type("x_sparsevec", "sparsevec(5)", "'{1:1.5,5:-2}/5'", "'{}/5'", needs=_VECTOR),
    one_type(
        "x_vector_array", "vector[]", "ARRAY['[1,2]'::vector, NULL, '[3]']", "'{}'", needs=_VECTOR, text=True
    ),
    one_type("x_vector_3_array", "vector(3)[]", "ARRAY['[1,2,3]'::vector, NULL]", needs=_VECTOR, text=True),
    one_type(
        "x_vector_array_two_dimensions",
        "vector[]",
        "ARRAY[ARRAY['[1,2]'::vector], ARRAY['[3]'::vector]]",
        needs=_VECTOR,
        text=True,
        read=unrepresentable(1),
    ),
    one_type(
        "x_vector_in_composite",
        "embedded",
        "ROW('a', '[1,2]')",
        before="CREATE TYPE embedded AS (name text, at vector)",
        needs=_VECTOR,
        text=True,
    ),
    one_type(
        "x_vector_domain",
        "unit",
        "'[1,0]'",
        before="CREATE DOMAIN unit AS vector(2)",
        needs=_VECTOR,
    ),
)

OF_EXTENSIONS: tuple[ZooTable, ...] = (*_OF_CONTRIB, *_OF_PGVECTOR)
