"""The tables of speed, memory and room, made from the rows that `aecodec bench speed` wrote."""

from __future__ import annotations

from collections.abc import Sequence

from .codecs import is_learned, is_ours, label
from .document import Figure, Table

Row = dict[str, str]


def parts(rows: Sequence[Row]) -> list[str | Table | Figure]:
    """All of it: at every size, beside other work, from the shell, the install, and where the time goes."""
    timed = next((row for row in rows if row["stage"] in ("load", "encode", "decode")), rows[0])
    found: list[str | Table | Figure] = [
        f"Medians after a warm-up, every codec and size in a process of its own, on {timed['machine']}; "
        f"{timed['threads']} thread(s). Peak memory is that of the whole process, Python and libraries included."]
    alone = [row for row in rows if not _busy(row)]
    return [*found, *_sizes(alone), *_beside_other_work(rows), *_from_the_shell(alone), *_install(rows),
            *_stages(alone)]


def _busy(row: Row) -> int:
    return int(row.get("busy") or 0)


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["codec"] for row in rows))


def _shown(name: str, rows: Sequence[Row]) -> str:
    device = next(row["device"] for row in rows if row["codec"] == name)
    return label(name) + (f" ({device})" if is_learned(name) and device != "cpu" else "")


def _sizes(rows: Sequence[Row]) -> list[str | Table | Figure]:
    rows = [row for row in rows if row["stage"] in ("encode", "decode")]
    sizes = sorted({float(row["megapixels"]) for row in rows})
    cells = {(row["codec"], row["stage"], float(row["megapixels"])): row for row in rows}
    found: list[str | Table | Figure] = []
    for stage, title in (("encode", "Encoding"), ("decode", "Decoding")):
        body = tuple((_shown(name, rows), *(_rate_and_memory(cells.get((name, stage, size))) for size in sizes))
                     for name in _names(rows))
        if body:
            found += [f"{title}: megapixels per second (peak memory).",
                      Table(("codec", *(f"{size:.1f} MP" for size in sizes)), body)]
    return found


def _rate_and_memory(row: Row | None) -> str:
    if row is None or row["note"]:
        return row["note"] if row else ""
    memory = f" ({float(row['peak_mb']):.0f} MB)" if row["peak_mb"] else ""
    return f"{float(row['mp_per_s']):.2f}{memory}"


def _beside_other_work(rows: Sequence[Row]) -> list[str | Table | Figure]:
    busy = [row for row in rows if _busy(row) and row["stage"] in ("encode", "decode") and row["seconds"]]
    if not busy:
        return []
    alone = {(row["codec"], row["stage"], row["width"]): row for row in rows if not _busy(row) and row["seconds"]}
    body = []
    for name in _names(busy):
        cells = [_shown(name, busy)]
        for stage in ("encode", "decode"):
            row = next((row for row in busy if (row["codec"], row["stage"]) == (name, stage)), None)
            before = None if row is None else alone.get((name, stage, row["width"]))
            if row is None or before is None:
                cells += ["", "", ""]
                continue
            then, now = float(before["seconds"]), float(row["seconds"])
            cells += [f"{1000 * then:.0f}", f"{1000 * now:.0f}", f"{now / then:.2f}"]
        body.append(tuple(cells))
    return [f"Milliseconds at {float(busy[0]['megapixels']):.1f} MP alone, and while another program keeps "
            f"{busy[0]['busy']} of the cores busy; how many times as long.",
            Table(("codec", "encode", "busy", "times", "decode", "busy", "times"), tuple(body))]


def _from_the_shell(rows: Sequence[Row]) -> list[str | Table | Figure]:
    shell = [row for row in rows if row["stage"].startswith("shell:")]
    if not shell:
        return []
    cells = {(row["codec"], row["stage"].removeprefix("shell:")): row for row in shell}
    commands = list(dict.fromkeys(stage for _, stage in cells))
    body = tuple((label(name) if is_ours(name) else f"{label(name)}, Pillow",
                  *(_seconds_and_memory(cells.get((name, command))) for command in commands)) for name in _names(shell))
    return [f"One picture of {shell[0]['width']}x{shell[0]['height']} from a shell, the start of the program included: "
            "seconds (peak memory).", Table(("codec", *commands), body)]


def _seconds_and_memory(row: Row | None) -> str:
    if row is None or row["note"]:
        return row["note"] if row else ""
    memory = f" ({float(row['peak_mb']):.0f} MB)" if row["peak_mb"] else ""
    return f"{float(row['seconds']):.2f}{memory}"


def _install(rows: Sequence[Row]) -> list[str | Table | Figure]:
    body = tuple((row["codec"], row["note"] or f"{float(row['disk_mb']):,.0f}") for row in rows
                 if row["stage"] == "install")
    return ["What an install takes with all that it needs, but Python itself.", Table(("install", "MB"), body)
            ] if body else []


def _stages(rows: Sequence[Row]) -> list[str | Table | Figure]:
    inner = [row for row in rows if row["stage"].startswith(("encode:", "decode:"))]
    smallest = min((float(row["megapixels"]) for row in inner), default=0.0)
    stages = [row for row in rows if is_learned(row["codec"]) and row["seconds"] and (
        row["stage"] == "load" or (row in inner and float(row["megapixels"]) == smallest))]
    if not stages:
        return []
    return [f"Where the time goes: loading (libraries and model), and the stages at {smallest:.1f} MP.",
            Table(("codec", "stage", "ms"), tuple(
                (label(row["codec"]), row["stage"].replace(":", ": "), f"{1000 * float(row['seconds']):.1f}")
                for row in stages))]
