"""What stands against a plan: collected for as long as the rest can be looked at, and raised together."""

from __future__ import annotations

from contextlib import AbstractContextManager

from copypump.errors import CopypumpError, RefusedError


class Refusals:
    """Refusals in the order in which they were found. Leaving the block raises the first, with its `others`.

    Another error of ours that ends the block is the last of them.
    """

    def __init__(self) -> None:
        self._found: list[CopypumpError] = []

    def collecting(self) -> AbstractContextManager[None, bool]:
        """Go on behind the body, though it was refused."""
        return _Collecting(self)

    def add(self, error: CopypumpError) -> None:
        """Take an error, and the others that it brings."""
        self._found += [error, *error.others]

    def __bool__(self) -> bool:
        return bool(self._found)

    def error(self) -> CopypumpError:
        """The first, with its `others`; its notes, which tracebacks show, tell of them too."""
        first, *others = self._found
        first.others = tuple(others)
        first.__notes__ = [f"and {other}" for other in others]
        return first

    def __enter__(self) -> Refusals:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, CopypumpError) and self and error is not self._found[0]:
            self.add(error)
            raise self.error() from None
        if error is None and self:
            raise self.error()


class _Collecting(AbstractContextManager[None, bool]):
    """A class, so that type checkers know that it swallows what it takes."""

    def __init__(self, refusals: Refusals) -> None:
        self._refusals = refusals

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> bool:
        if not isinstance(error, RefusedError):
            return False
        self._refusals.add(error)
        return True
