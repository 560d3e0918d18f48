"""What the benches under pytest say beside their times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bench.report import table


class Told:
    """By headings, in Markdown; conftest.py shows it at the end."""

    def __init__(self) -> None:
        self._rows: dict[str, list[dict[str, str]]] = {}
        self._pages: dict[str, str] = {}

    def row(self, heading: str, cells: Mapping[str, object]) -> None:
        """One row of a heading's table; its first names the columns."""
        said = {
            name: f"{cell:,}" if isinstance(cell, int | float) else str(cell) for name, cell in cells.items()
        }
        self._rows.setdefault(heading, []).append(said)

    def page(self, heading: str, text: str) -> None:
        """All that stands below a heading."""
        self._pages[heading] = text

    def pages(self) -> Iterator[tuple[str, str]]:
        """Headings, and what stands below."""
        for heading, rows in self._rows.items():
            names = list(dict.fromkeys(name for row in rows for name in row))
            yield heading, table(names, [[row.get(name, "") for name in names] for row in rows])
        yield from self._pages.items()
