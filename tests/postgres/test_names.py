import pytest

from copypump.errors import RefusedError
from copypump.postgres.names import parse_name, show_name


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("people", (None, "people")),
        ("People", (None, "people")),
        (" public.people ", ("public", "people")),
        ('"People"', (None, "People")),
        ('"a.b"."c""d"', ("a.b", 'c"d')),
        ('s."select"', ("s", "select")),
        ("ÄÖ_1$", (None, "ÄÖ_1$")),  # only ASCII is folded
    ],
)
def test_names_as_sql_writes_them(text, parts):
    assert parse_name(text) == parts


@pytest.mark.parametrize(
    "text",
    ["", ".", "a.", ".a", "a.b.c", "my-table", "1a", '"open', '""', 'a"b"', "a b", "a;drop table b", '"a\0"'],
)
def test_what_is_no_name(text):
    with pytest.raises(RefusedError, match="not a table's name"):
        parse_name(text)


@pytest.mark.parametrize("parts", [("public", "people"), ("S", 'a"b'), ("x y", "ä")])
def test_shown_names_are_read_back(parts):
    assert parse_name(show_name(*parts)) == parts
