"""The rows of the table, and how it is written."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Row:
    key: str
    title: str
    write: callable
    more_is_better: bool = False


def per_second(value):
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def milliseconds(value):
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.1f} ms"


def megabytes(value):
    return f"{value / 1e6:,.0f} MB"


def kilobytes(value):
    return f"{value / 1e3:.1f} kB"


def rows(options):
    parked = f"{options.parked:,}"
    return [
        Row("messages_1", "messages acknowledged a second, 1 sender in 20 rooms of 3", per_second, True),
        Row("messages_8", "…, 8 senders", per_second, True),
        Row("messages_32", "…, 32 senders", per_second, True),
        Row("fan_out_p50", "a send to 40 waiting syncs, 20 a second, p50", milliseconds),
        Row("fan_out_p99", "…, p99", milliseconds),
        Row("scrollback", "scrollback: pages of 50 a second", per_second, True),
        Row("members", "member lists of 50 a second", per_second, True),
        Row("initial_sync_first", f"initial sync of a user in {options.rooms} rooms, the first after a start", milliseconds),
        Row("initial_sync_later", "…, later", milliseconds),
        Row("initial_sync_bytes", "… (its size)", kilobytes),
        Row("rooms", "rooms created a second by one client", per_second, True),
        Row("memory_pss", "the server's memory after all that (PSS, without PostgreSQL)", megabytes),
        Row("memory_rss", "… (RSS)", megabytes),
        Row("parked_bytes", f"memory a parked sync, at {parked}", kilobytes),
        Row("read_alone", "p50 of a page of 10 with no sync parked", milliseconds),
        Row("read_parked", f"… with {parked}", milliseconds),
        Row("send_alone", "p50 of a send with no sync parked", milliseconds),
        Row("send_parked", f"… with {parked}", milliseconds),
    ]


SIZES = ("initial_sync_bytes",)  # said for information: neither better nor worse


def ratio(row, ours, theirs):
    """How many times as good as theirs ours is."""
    if ours is None or not theirs or not ours or row.key in SIZES:
        return ""
    times = ours / theirs if row.more_is_better else theirs / ours
    return f"{times:,.0f} ×" if times >= 10 else f"{times:.2g} ×"


def table(options, results, titles):
    """Markdown: a line a row, a column a server, then Hearth's ratio to each other. What a server cannot do is a dash."""
    others = [name for name in results if name != "hearth"] if "hearth" in results else []
    head = ["workload"] + [titles[name] for name in results] + [f"Hearth : {titles[name]}" for name in others]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for row in rows(options):
        values = [results[name].get(row.key) for name in results]
        if all(value is None for value in values):
            continue
        ours = results.get("hearth", {}).get(row.key)
        cells = [row.write(value) if value is not None else "—" for value in values]
        lines.append([row.title] + cells + [ratio(row, ours, results[name].get(row.key)) for name in others])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
