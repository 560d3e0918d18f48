"""The zoo as one table of facts: PostgreSQL's types and the odd shapes of its tables, each with edge values.

Its families stand in files of their own; what is written down of each table is told in `facts`. Where a type
is read, TYPES says what it becomes and what is an error; that is what these tables state, so a failing test
is either a defect or a promise that is not kept yet.
"""

from __future__ import annotations

from tests.zoo.extensions import OF_EXTENSIONS
from tests.zoo.facts import ZooTable
from tests.zoo.nested import NESTED, TYPES
from tests.zoo.objects import OBJECTS
from tests.zoo.scalars import SCALARS

ZOO: tuple[ZooTable, ...] = (*SCALARS, *NESTED, *OF_EXTENSIONS, *OBJECTS)

# What comes before all tables.
PRELUDE = TYPES

__all__ = ["PRELUDE", "ZOO", "ZooTable"]
