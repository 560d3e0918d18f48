"""Two servers for a module of the suite: they are stopped, started and killed, and so are nobody else's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.scene import two_servers
from tests.faults.schedule import Servers


@pytest.fixture(scope="package")
def servers() -> Iterator[Servers]:
    with two_servers() as both:
        yield both
