"""`python -m bench`: everything side by side; tables, charts, scaling. `python -m bench --help` tells."""

from __future__ import annotations

import contextlib
import functools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from bench import exactness, report, results, scaling_report
from bench import jobs as many
from bench.exactness import DECODING
from bench.measure import ROOT
from bench.peers.table import PEERS, Peer, Places, missing, of, version
from bench.pump import Turns, match
from bench.readme import renewed
from bench.scaling import SWEEPS, Sizes, beside, measure
from bench.servers import Pair, servers
from bench.workloads import WORKLOADS


@dataclass(frozen=True)
class Preset:
    """How large, how often, what for; the minutes after which no turn is added; with the peers or without; where to."""

    scale: float
    runs: int
    peer_runs: int
    what: str
    minutes: float = float("inf")
    peers: bool = True
    out: Path = results.FOLDER


PRESETS = {
    "smoke": Preset(0.001, 1, 0, "does it run"),
    "quick": Preset(0.02, 3, 0, "a few minutes"),
    "readme": Preset(1.0, 3, 0, "the README's table of all peers, at full size; an hour", 40.0),
    "bars": Preset(
        1.0,
        5,
        0,
        "copypump and the raw pipe alone, at full size; ten to twenty minutes",
        peers=False,
        out=results.BARS,
    ),
    "full": Preset(1.0, 5, 1, "all peers more often; two hours"),
}


def _servers(command: Callable[..., Any]) -> Callable[..., Any]:
    src = click.option("--src", metavar="DSN", help="The source; by default an embedded server.")
    dst = click.option("--dst", metavar="DSN", help="The target; by default an embedded server.")
    return src(dst(command))


def _pythons(command: Callable[..., Any]) -> Callable[..., Any]:
    pump = click.option(
        "--pump-python",
        metavar="PATH",
        default=sys.executable,
        help="The Python of an environment with copypump alone, as most users have it; by default this one.",
    )
    peers = click.option(
        "--peer-python",
        metavar="PATH",
        default=sys.executable,
        help="The Python of an environment with the peers; by default this one.",
    )
    return pump(peers(command))


_out = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=results.FOLDER,
    show_default="bench/results",
    help="The folder of the JSON, the tables and the charts.",
)
_charts = click.option("--charts/--no-charts", default=True, help="Draw, or do not.")


@contextlib.contextmanager
def _places(pump_python: str, peer_python: str) -> Iterator[Places]:
    with tempfile.TemporaryDirectory() as folder:
        yield Places(_absolute(pump_python), _absolute(peer_python), Path(folder))


def _absolute(path: str) -> str:
    # Not resolved: an environment's Python is a link, and what it is a link in is the environment.
    return str(Path(path).absolute())


@contextlib.contextmanager
def _running(src: str | None, dst: str | None) -> Iterator[Pair]:
    try:
        with servers(src, dst) as pair:
            yield pair
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _measuring(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command both servers and the places of the programs, by options that all such commands have."""

    @_servers
    @_pythons
    @functools.wraps(command)
    def measured(src: str | None, dst: str | None, pump_python: str, peer_python: str, **words: Any) -> None:
        with _running(src, dst) as pair, _places(pump_python, peer_python) as places:
            command(pair, places, **words)

    return measured


def teller() -> Callable[[str], None]:
    """What is going on, with the minutes since the start, on standard error."""
    start = time.monotonic()

    def tell(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - start), 60)
        click.echo(f"{minutes:3}:{seconds:02}  {text}", err=True)

    return tell


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Copypump beside the raw pipe and its peers, on the same rows in the same run."""


@main.command()
@_measuring
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    default="quick",
    show_default=True,
    help="; ".join(f"{name}: {preset.what}" for name, preset in PRESETS.items()) + ".",
)
@click.option("--scale", type=float, help="Instead of the preset's; 1: 10,000,000 people, TPC-H scale 1.")
@click.option("--runs", type=int, help="Counted turns of copypump and the raw pipe, instead of the preset's.")
@click.option("--peer-runs", type=int, help="The same of all others; 0: the first, which is also checked.")
@click.option(
    "--timeout", type=float, default=600.0, show_default=True, help="Seconds that end any single run."
)
@click.option(
    "--workload", "names", type=click.Choice(list(WORKLOADS)), multiple=True, help="Repeatable; all."
)
@click.option(
    "--peer",
    "peers",
    type=click.Choice(sorted({peer.name for workload in WORKLOADS.values() for peer in of(workload)})),
    metavar="NAME",
    multiple=True,
    help="Repeatable; all. `python -m bench peers` lists them.",
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Instead of the preset's folder."
)
@_charts
def run(
    pair: Pair,
    places: Places,
    preset: str,
    scale: float | None,
    runs: int | None,
    peer_runs: int | None,
    timeout: float,
    names: tuple[str, ...],
    peers: tuple[str, ...],
    out: Path | None,
    charts: bool,
) -> None:
    """Measure all workloads with all peers; write the tables, the JSON and the charts."""
    chosen = PRESETS[preset]
    scale = chosen.scale if scale is None else scale
    turns = Turns(
        chosen.runs if runs is None else runs, chosen.peer_runs if peer_runs is None else peer_runs, timeout
    )

    def wanted(peer: Peer) -> bool:
        if peers:
            return peer.name in peers
        return chosen.peers or peer.ours or peer.name in turns.often

    out = out or chosen.out
    tell, matches = teller(), []
    start, chosen_names = time.monotonic(), names or tuple(WORKLOADS)
    for at, name in enumerate(chosen_names, start=1):
        timed = replace(turns, until=start + 60 * chosen.minutes * at / len(chosen_names))
        matches.append(match(pair, WORKLOADS[name], scale, places, timed, wanted, tell))
        made = results.gather(pair, places, turns, scale, matches)
        results.save(made, out / "results.json")  # now, lest a later failure lose it
    text = report.everything(made)
    (out / "report.md").write_text(text)
    click.echo(text)
    if charts and chosen.peers:
        _draw(out)


@main.command()
@_measuring
@click.option(
    "--sweep",
    "names",
    type=click.Choice(list(SWEEPS)),
    multiple=True,
    help="Repeatable; all. The others stay as the file has them, if they are of the same machine and servers.",
)
@click.option("--most-rows", type=int, default=Sizes.most_rows, show_default=True, help="Of the rows sweep.")
@click.option(
    "--batch-scale",
    type=float,
    default=Sizes.batch_scale,
    show_default=True,
    help="lineitem's, of the batch sweep.",
)
@click.option("--values", type=int, default=Sizes.values, show_default=True, help="Of the columns sweep.")
@click.option("--wire-rows", type=int, default=Sizes.wire_rows, show_default=True, help="Of the wire sweep.")
@click.option(
    "--runs", type=int, default=Sizes.runs, show_default=True, help="Of each point; the median counts."
)
@_out
@_charts
def scaling(
    pair: Pair, places: Places, names: tuple[str, ...], out: Path, charts: bool, **sizes: Any
) -> None:
    """Measure how costs grow with rows, batch size, columns and the wire; write scaling.json, .md and the chart."""
    made, path = measure(pair, places, Sizes(**sizes), names or tuple(SWEEPS), teller()), out / "scaling.json"
    if path.exists():
        made = beside(results.load(path), made)
    results.save(made, path)
    text = scaling_report.everything(made)
    (out / "scaling.md").write_text(text)
    click.echo(text)
    if charts:
        _draw(out)


@main.command()
@_measuring
@click.option("--scale", type=float, default=0.1, show_default=True, help="1: the workloads' full size.")
@click.option("--runs", type=int, default=3, show_default=True, help="Counted turns.")
@click.option(
    "--workload", "names", type=click.Choice(many.WORKLOADS_OF_JOBS), multiple=True, help="Repeatable; both."
)
@click.option(
    "--workers",
    type=click.Choice([str(number) for number in many.WORKERS]),
    multiple=True,
    help="Repeatable; all. Without 1, nothing tells the ledger's cost, nor how much faster the others are.",
)
@_out
def jobs(
    pair: Pair,
    places: Places,
    scale: float,
    runs: int,
    names: tuple[str, ...],
    workers: tuple[str, ...],
    out: Path,
) -> None:
    """Measure many workers beside as many raw pipes, their ledger, and a skewed table; write jobs.json."""
    counts = tuple(map(int, workers)) or many.WORKERS
    sizes = many.Sizes(scale, runs, names or many.WORKLOADS_OF_JOBS, counts)
    made = many.measure(pair, places, sizes, teller())
    results.save(made, out / "jobs.json")
    click.echo("\n".join(many.tables(made)))


@main.command()
@click.argument(
    "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=results.FOLDER
)
def draw(folder: Path) -> None:
    """Make report.md, scaling.md and the charts again from the JSON in FOLDER."""
    for name, page, text in (
        ("results.json", "report.md", report.everything),
        ("scaling.json", "scaling.md", scaling_report.everything),
    ):
        if (folder / name).exists():
            (folder / page).write_text(text(results.load(folder / name)))
    _draw(folder)


@main.command()
@_measuring
@click.option("--peer", "peers", type=click.Choice(DECODING), multiple=True, help="Repeatable; all.")
@_out
def exact(pair: Pair, places: Places, peers: tuple[str, ...], out: Path) -> None:
    """Find out what arrives of values in the corners of their types; write exact.json."""
    made = exactness.measure(pair, places, peers, teller())
    results.save(made, out / "exact.json")
    click.echo(report.exactness(made))


@main.command()
@_measuring
@click.option(
    "--scale", type=float, default=0.05, show_default=True, help="Of the people whose first is awaited."
)
@click.option("--runs", type=int, default=5, show_default=True, help="Counted turns.")
@_out
def start(pair: Pair, places: Places, scale: float, runs: int, out: Path) -> None:
    """Measure how soon help and the first row are there, and the CPU of a start; write start.json."""
    from bench import start as soon

    made = soon.measure(pair, places, scale, runs, teller())
    results.save(made, out / "start.json")
    click.echo(report.started(made))


@main.command()
@_servers
@click.option("--scale", type=float, default=0.1, show_default=True, help="1: the workloads' full size.")
@click.option("--runs", type=int, default=5, show_default=True, help="Counted turns.")
@_out
def arrow(src: str | None, dst: str | None, scale: float, runs: int, out: Path) -> None:
    """Read tables into Arrow and write them, beside ADBC, all in this process; write arrow.json."""
    from bench import arrow_streams

    with _running(src, dst) as pair, _places(sys.executable, sys.executable) as places:
        made = arrow_streams.measure(pair, places, scale, runs, teller())
    results.save(made, out / "arrow.json")
    click.echo(report.arrow(made))


@main.command()
@_servers
@click.option("--rows", type=int, default=100_000, show_default=True, help="That are appended.")
@click.option(
    "--there",
    type=int,
    multiple=True,
    default=(0, 100_000, 400_000),
    show_default=True,
    help="How many rows the table holds before; repeatable.",
)
@click.option("--runs", type=int, default=3, show_default=True, help="Of each way, in turn.")
def indexes(src: str | None, dst: str | None, rows: int, there: tuple[int, ...], runs: int) -> None:
    """Append to a table with three indexes, keeping and rebuilding them, in turn."""
    from bench.indexes import lines

    with _running(src, dst) as pair:
        for line in lines(pair.src, pair.dst, rows, there, runs):
            click.echo(line)


@main.command()
def readme() -> None:
    """Write the README's figures anew, from what bench/results holds."""
    path = ROOT / "README.md"
    try:
        path.write_text(renewed(path.read_text()))
    except FileNotFoundError as error:
        raise click.ClickException(f"{error.filename} is yet to be made, by `python -m bench run`") from None


def _draw(folder: Path) -> None:
    from bench import charts

    for path in charts.draw(folder):
        click.echo(f"drawn: {path}", err=True)


@main.command()
@_pythons
def peers(pump_python: str, peer_python: str) -> None:
    """List what is measured side by side, and what is missing here."""
    with _places(pump_python, peer_python) as places:
        rows = [
            [peer.name, peer.title, peer.how, missing(peer, places) or version(peer, places)]
            for peer in PEERS.values()
        ]
    click.echo(report.table(["--peer", "title", "how", "here"], rows))


if __name__ == "__main__":
    main(prog_name="python -m bench")
