"""The same engine beside an event loop: the work goes on in threads of its own, the loop stays free.

Cancelling a task aborts its run as Ctrl-C does, and returns when both sides are rolled back.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import TypeVar, Unpack

import pyarrow as pa

from copypump.engine.options import Options, PumpOptions
from copypump.engine.pipeline.moving import OnProgress
from copypump.engine.report import Progress, Report
from copypump.engine.run import run
from copypump.engine.streams import ReadOptions, read
from copypump.postgres.interrupt import Interrupt
from copypump.postgres.session import Where

T = TypeVar("T")


async def apump(
    src: Where,
    dst: Where,
    *,
    on_progress: OnProgress | None = None,
    progress_interval: float = 0.5,
    **options: Unpack[PumpOptions],
) -> Report:
    """`copypump.pump` beside an event loop; many may run at once, by `asyncio.gather`.

    `on_progress` is called in the loop. When the task is cancelled, the run is aborted, and CancelledError
    raised once nothing of it goes on any more; what is committed then is what `pump` says of Ctrl-C.

    Raises:
        CopypumpError: as `copypump.pump` does.

    """
    loop, interrupt = asyncio.get_running_loop(), Interrupt()
    shown: OnProgress | None = None
    if on_progress is not None:
        told = on_progress  # for the closure: it is not None

        def shown(progress: Progress) -> None:
            loop.call_soon_threadsafe(told, progress)

    chosen = Options.of(**options)
    return await _in_thread(
        lambda: run(src, dst, chosen, shown, progress_interval, interrupt=interrupt), interrupt.set
    )


async def _in_thread(work: Callable[[], T], stop: Callable[[], object]) -> T:
    """Do `work` in a thread of its own; when that is cancelled, `stop` it, and wait until it has ended."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if ended.cancelled():
            return
        if error is not None:
            ended.set_exception(error)
        else:
            ended.set_result(result)  # type: ignore[arg-type] # it is a T where there is no error

    def body() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = work()
        except StopIteration as error:  # which no future takes
            failure = RuntimeError(str(error))
        except BaseException as error:
            failure = error
        loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=body, name="copypump async", daemon=True).start()
    try:
        return await asyncio.shield(ended)
    except asyncio.CancelledError:
        stop()
        while not ended.done():  # cancelled again: it ends all the same
            try:
                await asyncio.wait([ended])
            except asyncio.CancelledError:
                continue
        ended.exception()  # it is told by the cancellation
        raise


class aread:  # noqa: N801 - used like a function: async with copypump.aread(...) as batches
    """`copypump.read` beside an event loop.

        async with copypump.aread(src, query="select * from orders") as batches:
            async for batch in batches: ...

    The arguments are those of `copypump.read`. Each batch is read and decoded in a thread; cancelling what
    waits for one, and leaving the block, ends the stream as leaving `copypump.read` does.

    Attributes:
        warnings: as of `copypump.read`, once the block was left.

    """

    def __init__(self, src: Where, **options: Unpack[ReadOptions]) -> None:
        self._reading = read(src, **options)

    @property
    def warnings(self) -> list[str]:
        """What the user should know of the values that came."""
        return self._reading.warnings

    async def __aenter__(self) -> Batches:
        try:
            reader = await _in_thread(self._reading.__enter__, self._reading.stop)
        except asyncio.CancelledError as cancelled:
            await self.__aexit__(type(cancelled), cancelled, None)  # it may have been open by then
            raise
        return Batches(reader, self._reading.stop)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await _in_thread(lambda: self._reading.__exit__(kind, error, traceback), lambda: None)


class Batches(AsyncIterator[pa.RecordBatch]):
    """The batches of an `aread`, one after the other; `schema` is theirs."""

    def __init__(self, reader: pa.RecordBatchReader, stop: Callable[[], object]) -> None:
        self.schema: pa.Schema = reader.schema
        self._reader = reader
        self._stop = stop

    def __aiter__(self) -> Batches:
        return self

    async def __anext__(self) -> pa.RecordBatch:
        def step() -> pa.RecordBatch | None:
            try:
                return self._reader.read_next_batch()
            except StopIteration:
                return None

        batch = await _in_thread(step, self._stop)
        if batch is None:
            raise StopAsyncIteration
        return batch
