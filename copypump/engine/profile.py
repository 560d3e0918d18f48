"""Where a run's client CPU goes: the steps of a row's way, by the clocks of the threads that take them.

Only within `profiling()` are those steps wrapped, each where the pipeline finds it; outside of it nothing of
this runs, and no step knows of it. What other processes do is not seen.
"""

from __future__ import annotations

import functools
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from msgspec import Struct, field

from copypump.codec import _decode_tiles, decoder
from copypump.codec.encoder import Encoder
from copypump.codec.framing import Framer
from copypump.codec.nested_readers import make_reader
from copypump.codec.rewrite import Rewriter
from copypump.engine.pipeline import reshape
from copypump.engine.report import Report
from copypump.postgres.source import Source
from copypump.postgres.target import Target
from copypump.transforms import Transform

Call = Callable[..., Any]

START = "start: Python and imports"
SESSIONS = "plan, sessions, commit"
REST = "threads, queues, all else"

# The first words of the steps' names, as a row takes them.
ORDER = ("read", "frame", "rewrite", "decode", "transform", "check", "cast", "encode", "write")

# What is called once a batch, and under which name it is counted. Not here: what readers do, told apart by
# type, and the transform, by the pieces that come of it.
STEPS: tuple[tuple[Any, str, str], ...] = (
    (Source, "read", "read (libpq)"),
    (Framer, "feed", "frame"),
    (Rewriter, "rewrite", "rewrite oids"),
    (decoder.Decoder, "decode", "decode: batches"),
    (_decode_tiles, "read", "decode: usual columns together"),
    (reshape, "cast", "cast"),
    (reshape, "checked", "check"),
    (Encoder, "encode", "encode"),
    (Target, "write", "write (libpq)"),
    (Target, "finish", "write (libpq)"),
)


_THREAD: int | None = getattr(resource, "RUSAGE_THREAD", None)


class Part(Struct):
    """Seconds of CPU that one step took, without the steps within it; `system` is the kernel's share of them.

    The kernel tells its share by samples, a few hundred a second: it means something in sums alone.
    """

    cpu: float = 0.0
    system: float = 0.0
    calls: int = 0


class Profile(Struct):
    """The parts by name, in the order of a row's way; complete when `profiling()` is left.

    They add up to `total`, the CPU seconds of the whole process since it was started.
    """

    parts: dict[str, Part] = field(default_factory=dict)
    total: float = 0.0
    seconds: float = 0.0

    def as_dict(self, report: Report | None = None) -> dict[str, Any]:
        """Plain values, ready for JSON; of the report, the stages' wall times."""
        stages = report.stages if report is not None else {}
        return {
            "cpu": self.total,
            "seconds": self.seconds,
            "parts": {
                name: {"cpu": part.cpu, "system": part.system, "calls": part.calls}
                for name, part in self.parts.items()
            },
            "stages": {
                name: {"busy": stage.busy, "waiting": stage.waiting} for name, stage in stages.items()
            },
        }

    def describe(self, report: Report | None = None) -> str:
        """A table of the parts, and one of what each stage waited."""
        width = max(map(len, self.parts), default=0)
        lines = [f"{'client CPU':{width}}   seconds   share   in the kernel    calls"]
        for name, part in self.parts.items():
            share = part.cpu / self.total if self.total else 0.0
            calls = f"{part.calls:9,}" if part.calls else ""
            lines.append(
                f"{name:{width}}  {part.cpu:8.3f}  {share:6.1%}   {part.system:13.3f}{calls}".rstrip()
            )
        lines.append(f"{'in all':{width}}  {self.total:8.3f}          over {self.seconds:.3f} s of wall time")
        if report is not None and report.stages:
            lines += ["", f"{'stage, wall time':{width}}    worked    waited"]
            for name, stage in report.stages.items():
                lines.append(f"{name:{width}}  {stage.busy:8.3f}  {stage.waiting:8.3f}")
            lines.append("read and write wait for the servers, and all for their neighbours' queues")
        return "\n".join(lines)


class _Meter:
    """Adds up what threads spend in steps; a step within another is not counted twice."""

    def __init__(self) -> None:
        self.parts: dict[str, Part] = {}
        self._lock = threading.Lock()
        self._open = threading.local()

    @contextmanager
    def step(self, name: str, calls: int = 1) -> Iterator[None]:
        """Count what this thread spends in the block, less what it spends in steps below."""
        stack: list[list[float]] = self._open.__dict__.setdefault("stack", [])
        stack.append([0.0, 0.0])
        cpu, system = time.thread_time(), _kernel()
        try:
            yield
        finally:
            cpu, system = time.thread_time() - cpu, _kernel() - system
            inner = stack.pop()
            if stack:
                stack[-1][0] += cpu
                stack[-1][1] += system
            self.add(name, cpu - inner[0], system - inner[1], calls)

    def add(self, name: str, cpu: float, system: float, calls: int) -> None:
        with self._lock:
            part = self.parts.setdefault(name, Part())
            part.cpu += cpu
            part.system += system
            part.calls += calls

    def timed(self, name: str, function: Call, calls: int = 1) -> Call:
        """`function`, each call a step that counts as `calls`."""

        @functools.wraps(function)
        def call(*args: Any, **more: Any) -> Any:
            with self.step(name, calls):
                return function(*args, **more)

        return call

    def pieces(self, name: str, function: Call) -> Call:
        """`function`, the making of each of the pieces that it yields counted as a step."""

        @functools.wraps(function)
        def call(*args: Any, **more: Any) -> Iterator[Any]:
            made, end = iter(function(*args, **more)), object()
            while True:
                with self.step(name):
                    piece = next(made, end)
                if piece is end:
                    return
                yield piece

        return call

    def reader(self, column: Any, *args: Any) -> Any:
        """A reader of one column, its work counted under the column's type."""
        return _TimedReader(make_reader(column, *args), self, f"decode {column.declared}")


class _TimedReader:
    """A reader, seen by a meter: it reads a column alone, or begins and finishes what is read with others."""

    def __init__(self, reader: Any, meter: _Meter, name: str) -> None:
        self._reader = reader
        self.read = meter.timed(name, reader.read)
        self.begin = meter.timed(name, reader.begin, 0)
        self.finish = meter.timed(name, reader.finish)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


@contextmanager
def profiling() -> Iterator[Profile]:
    """Measure what is run within, in this thread and in those that it starts."""
    profile, meter = Profile(), _Meter()
    spent, kernel = _process()
    began = time.perf_counter()
    with ExitStack() as stack:
        for owner, name, words in STEPS:
            _replaced(stack, owner, name, meter.timed(words, getattr(owner, name)))
        _replaced(stack, Transform, "stream", meter.pieces("transform", Transform.stream))
        _replaced(stack, decoder, "make_reader", meter.reader)
        try:
            with meter.step(SESSIONS):
                yield profile
        finally:
            profile.seconds = time.perf_counter() - began
            profile.total, kernel_in_all = _process()
            own = meter.parts.pop(SESSIONS)
            steps = dict(
                sorted(meter.parts.items(), key=lambda step: ORDER.index(step[0].split()[0].strip(":")))
            )
            profile.parts = {START: Part(spent, kernel), SESSIONS: Part(own.cpu, own.system), **steps}
            known = list(profile.parts.values())
            profile.parts[REST] = Part(
                max(0.0, profile.total - sum(part.cpu for part in known)),
                max(0.0, kernel_in_all - sum(part.system for part in known)),
            )


def _replaced(stack: ExitStack, owner: Any, name: str, other: Any) -> None:
    """Put `other` in the place of `owner.name` until the stack unwinds."""
    stack.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, other)


def _kernel() -> float:
    """Seconds that this thread spent in system calls (0: not every system tells)."""
    return resource.getrusage(_THREAD).ru_stime if _THREAD is not None else 0.0


def _process() -> tuple[float, float]:
    """Seconds that this process spent in all, and in system calls."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, used.ru_stime
