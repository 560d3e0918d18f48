"""The tables, in Markdown, from a file of results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from textwrap import shorten
from typing import Any

from bench.measure import spread
from bench.pump import YARDSTICK
from bench.results import HEAVY, figures, place

HEAD = (
    *("way", "transform", "wall s", "wall / raw", "rows/s", "MB/s", "CPU s"),
    *("CPU net of start / raw", "start CPU s", "peak MB", "every value"),
)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def everything(results: dict[str, Any]) -> str:
    """The whole report."""
    parts = ["# What was measured", note(results), "## Wall time over that of the raw pipe", summary(results)]
    parts += remarks(results)
    for match in results["matches"]:
        title = f"## {match['name']}: {match['title']}"
        parts += [
            title,
            f"{match['rows']:,} rows, {match['bytes'] / 1e6:,.0f} MB of binary COPY.",
            detail(match),
        ]
    return "\n\n".join(parts) + "\n"


def note(results: dict[str, Any]) -> str:
    """Where and how the figures were made, and what they do not say."""
    heavy = [f"{name} {results['environment'][name]}" for name in HEAVY if results["environment"].get(name)]
    start = (
        f"The pump's Python has {' and '.join(heavy)}, which pyarrow imports: every start of it is the slower for that."
        if heavy
        else "The pump's Python has neither numpy nor pandas, which pyarrow would import at every start."
    )
    counted = sorted({_turns(match) for match in results["matches"]})
    turns = " to ".join(dict.fromkeys(str(count) for count in (counted[0], counted[-1])))
    return (
        f"{place(results)}. Scale {results['scale']:g}; copypump and the raw pipe ran {turns} times after one"
        f" that warmed up, the others {max(1, results['turns']['peers'])}, in turn; medians, with least and most in parentheses;"
        " ratios are taken turn by turn. The one-minute load was"
        f" {results['load']:.1f} at the end. Whole processes: CPU and peak memory are the clients' own, as the"
        " operating system counts them, memory summed over the processes of a pipe. MB are those of the source's"
        f" binary COPY. {start} A way with ~ was given a part of the table, and its seconds are what the whole would"
        " take at that rate. Values were compared on the servers, with what the source's own SQL gives."
    )


def _turns(match: dict[str, Any]) -> int:
    """How often the yardstick was counted."""
    return sum(cost is not None for way in match["ways"] if way["name"] == YARDSTICK for cost in way["costs"])


def summary(results: dict[str, Any]) -> str:
    """Every way by every workload: wall over the raw pipe's, or why there is none."""
    matches = results["matches"]
    rows = []
    for name, title in _names(results):
        cells = []
        for match in matches:
            way = next((each for each in match["ways"] if each["name"] == name), None)
            cells.append(_cell(match, way))
        rows.append([f"**{title}**" if name.startswith("copypump") else title, *cells])
    return table(["way", *(match["name"] for match in matches)], rows)


def remarks(results: dict[str, Any]) -> list[str]:
    """Who is missing, fails or loses values: why, and in which workloads if not in all."""
    said = []
    for word, key in (("Missing", "missing"), ("Fails", "failed"), ("Loses values", "fault")):
        found: dict[tuple[str, str], list[str]] = {}
        for match in results["matches"]:
            for way in match["ways"]:
                if way[key]:
                    found.setdefault((way["title"], way[key]), []).append(match["name"])
        texts = []
        for (title, reason), names in found.items():
            where = "" if len(names) == len(results["matches"]) else f" in {', '.join(names)}"
            texts.append(f"{title}{where} ({shorten(reason, 160, placeholder=' ...')})")
        if texts:
            said.append(f"{word}: {'; '.join(texts)}.")
    return said


def _names(results: dict[str, Any]) -> list[tuple[str, str]]:
    names: dict[str, str] = {}
    for match in results["matches"]:
        names |= {way["name"]: way["title"] for way in match["ways"] if way["name"] not in names}
    mine = [name for name in names if name.startswith("copypump")]
    order = [YARDSTICK, *mine, *names]
    return [(name, names[name]) for name in dict.fromkeys(order) if name in names]


def _cell(match: dict[str, Any], way: dict[str, Any] | None) -> str:
    if way is None:
        return ""
    if way["missing"]:
        return "missing"
    found = figures(match, way)
    if found is None:
        return "fails"
    ratio = f"{'~' if found.share < 1 else ''}{median(found.ratios):.2f}" if found.ratios else "?"
    return ratio + (" (loses values)" if way["fault"] else "")


def ours(results: dict[str, Any]) -> str:
    """Copypump beside the raw pipe, over every workload."""
    rows = []
    for match in results["matches"]:
        label = f"{match['name']}, {match['rows']:,} rows, {match['bytes'] / 1e6:,.0f} MB"
        for way in match["ways"]:
            found = figures(match, way)
            if found is None or not (way["ours"] or way["name"] == YARDSTICK):
                continue
            rows.append([
                label, way["title"], spread(found.walls), spread(found.ratios), spread(found.cpus),
                spread(found.cpu_ratios), "" if found.start is None else f"{found.start:.2f}", f"{found.memory:,.0f}",
                way["fault"] or "yes",
            ])  # fmt: skip
            label = ""
    return table(("workload", "way", *HEAD[2:4], *HEAD[6:]), rows)


def exactness(results: dict[str, Any]) -> str:
    """What arrived of each corner, by peer."""
    peers = [peer for peer in results["peers"] if not peer["missing"]]
    rows = [
        [corner["title"], *(_arrived(corner["outcomes"][peer["name"]][0]) for peer in peers)]
        for corner in results["corners"]
    ]
    return table(["values", *(peer["title"] for peer in peers)], rows)


def _arrived(outcome: str) -> str:
    return f"**{outcome}**" if outcome == "changed" else outcome


def detail(match: dict[str, Any]) -> str:
    """All figures of one workload, the raw pipe first, then ours, then by wall time."""
    rows = []
    for way in match["ways"]:
        found = figures(match, way)
        title = f"**{way['title']}**" if way["ours"] else way["title"]
        made = "yes" if way["transforms"] else ""
        if found is None:
            if way["failed"]:
                rows.append((2, 0.0, [title, made, *[""] * 8, f"fails: {way['failed']}"]))
            continue
        about = "~" if found.share < 1 else ""
        cells = [
            title, made, about + spread(found.walls), about + spread(found.ratios) if found.ratios else "",
            f"{found.rows_per_second:,.0f}", f"{found.megabytes_per_second:,.0f}", about + spread(found.cpus),
            about + spread(found.cpu_ratios) if found.cpu_ratios else "",
            "" if found.start is None else f"{found.start:.2f}", f"{found.memory:,.0f}", way["fault"] or "yes",
        ]  # fmt: skip
        rank = 0 if way["name"] == YARDSTICK or way["ours"] else 1
        rows.append((rank, median(found.walls) if rank else 0.0, cells))
    rows.sort(key=lambda row: row[:2])
    return table(HEAD, [cells for _, _, cells in rows])


def started(made: dict[str, Any]) -> str:
    """How soon copypump is at work, beside what it shall stay within."""
    rows = [
        [each["what"], each["of"], spread(each["seconds"]), f"{each['bar']:g}"] for each in made["measures"]
    ]
    return table(["copypump", "of", "seconds", "shall stay within"], rows)


def arrow(made: dict[str, Any]) -> str:
    """Tables into Arrow and back, by copypump and by ADBC."""
    rows = []
    for each in made["streams"]:
        cells = [f"{each['workload']}, {each['direction']}", each["way"]]
        if each["missing"]:
            rows.append([*cells, "", "", "", "", f"missing: {each['missing']}"])
            continue
        beside = next(
            other["cpu"]
            for other in made["streams"]
            if other["way"] == "copypump"
            and (other["workload"], other["direction"]) == (each["workload"], each["direction"])
        )
        ratio = median(one / other for one, other in zip(each["cpu"], beside, strict=True))
        rows.append([
            *cells, spread(each["wall"]), f"{each['bytes'] / median(each['wall']) / 1e6:,.0f}",
            f"{median(each['cpu']) / each['values'] * 1e9:.1f}", f"{ratio:.2f}", each["remark"],
        ])  # fmt: skip
    head = ("stream", "way", "wall s", "MB/s", "client CPU ns a value", "CPU / copypump's", "remark")
    return table(head, rows)
