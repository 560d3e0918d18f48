"""One chunk's way between two sessions that stand in their transactions: COPY out, the pipeline, COPY in."""

from __future__ import annotations

import logging
from collections.abc import Callable

from msgspec import Struct
from psycopg import sql

from copypump.codec.framing import Framer
from copypump.engine.pipeline.pipeline import Feed, Pace, Pipeline, Receiver, WireFeed
from copypump.engine.pipeline.reshape import Reshaper
from copypump.engine.pipeline.sink import Sink
from copypump.engine.planning.plan import Plan
from copypump.engine.rejects.limit import Limit
from copypump.engine.report import Counters, Progress
from copypump.errors import TargetError
from copypump.postgres.inserts import Inserts
from copypump.postgres.interrupt import Interrupt
from copypump.postgres.session import Session
from copypump.postgres.source import Source
from copypump.postgres.target import Target

log = logging.getLogger("copypump.moving")

# Seconds for the pipeline's threads to notice that they shall stop; what still runs then is the user's own
# function, which nothing can interrupt.
JOIN_SECONDS = 3.0

OnProgress = Callable[[Progress], None]


class Attempt(Struct, frozen=True):
    """One attempt at a chunk, where rows are rejected: its run's name, its number, and who counts them."""

    run: str
    chunk: int
    limit: Limit


def move_rows(
    plan: Plan,
    copy: sql.Composable,
    source: Session,
    target: Session,
    interrupt: Interrupt,
    counters: Counters,
    on_progress: OnProgress | None = None,
    interval: float = 0.5,
    attempt: Attempt | None = None,
    pace: Pace | None = None,
) -> list[str]:
    """Move what `copy` reads into the plan's sink, staging table included; give the decoder's warnings.

    Rows are rejected as the plan says, and counted by the `attempt`, which is not None then. `pace` is what
    the chunks before this one have left.

    Raises:
        CopypumpError: the sessions remain to be rolled back.
        Aborted: the interrupt was set from outside; likewise.

    """
    sink = plan.loading.sink
    try:
        sink.begin(target)
        copy_out = Source(source)
        copy_out.start(copy)
        feed, reshaper = middle(plan, copy_out, counters)
        if plan.rejecting is None:
            receiver: Receiver = open_sink(target, sink)
            move(feed, reshaper, receiver, interrupt, counters, on_progress, interval, pace)
        else:
            assert attempt is not None
            blocks = plan.rejecting.open(target, attempt.run, attempt.chunk, attempt.limit)
            move(feed, reshaper, blocks, interrupt, counters, on_progress, interval, pace)
            counters.rows_written = blocks.landed
        sink.finish(target, plan.destination.name, counters.rows_written)
    except TargetError as error:
        raise plan.loading.told(error) from None
    return feed.warnings()


def move(
    feed: Feed,
    reshaper: Reshaper | None,
    receiver: Receiver,
    interrupt: Interrupt,
    counters: Counters,
    on_progress: OnProgress | None,
    interval: float,
    pace: Pace | None = None,
) -> None:
    """Run the pipeline into a COPY that has begun, and stop all of its threads if it ends any other way.

    Raises:
        CopypumpError: the sessions remain to be rolled back.
        Aborted: the interrupt was set from outside; likewise.

    """
    pipeline = Pipeline(feed, reshaper, receiver, interrupt, counters, pace)
    try:
        pipeline.run(on_progress, interval)
        interrupt.check()  # the pipeline's threads do not tell that they were ended from outside
    except BaseException:
        pipeline.abort()
        stuck = pipeline.join(JOIN_SECONDS)
        if stuck:
            log.warning("still running, and left behind: %s", ", ".join(stuck))
        raise


def open_sink(target: Session, sink: Sink) -> Receiver:
    """What the pipeline writes into: the sink's COPY, begun, or its INSERTs."""
    if sink.parameters:
        return Inserts(target, sink.copy, sink.parameters)
    copy_in = Target(target)
    copy_in.start(sink.copy)
    return copy_in


def middle(plan: Plan, source: Source, counters: Counters) -> tuple[WireFeed, Reshaper | None]:
    """What stands between the two COPYs: all of it, or for rows that go through whole, the framing alone."""
    options, decoding = plan.options, plan.decoding
    positions = decoding is not None or plan.rewriter is not None
    decoder = None if decoding is None else decoding.decoder()
    rows = options.batch_rows if decoder is None else decoder.most_rows(options.batch_rows)
    framer = Framer(len(plan.origin.columns), positions=positions, batch_rows=rows)
    sizes = options.batch_bytes, options.batch_rows
    if decoder is None or decoding is None:
        return WireFeed(source, framer, None, plan.rewriter, *sizes, counters), None
    stages = counters.stages
    if plan.rejecting is not None:
        from copypump.engine.rejects.feed import SiftingFeed
        from copypump.engine.rejects.reshaping import SiftingReshaper
        from copypump.engine.rejects.sifting import InputRows

        # Each stage has rows to show of its own: two threads may be in them at once.
        columns = plan.origin.columns
        return (
            SiftingFeed(source, framer, decoder, plan.rewriter, *sizes, counters, InputRows(columns)),
            SiftingReshaper(
                decoding, plan.transform, plan.mapping, options.batch_bytes, stages["transform"],
                stages["encode"], InputRows(columns),
            ),
        )  # fmt: skip
    feed = WireFeed(source, framer, decoder, plan.rewriter, *sizes, counters)
    reshaper = Reshaper(
        decoding, plan.transform, plan.mapping, options.batch_bytes, stages["transform"], stages["encode"]
    )
    return feed, reshaper
