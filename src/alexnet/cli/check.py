"""The command that says what is wrong with a data set."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from alexnet.cli.door import command, emit, limited, new_file, shown
from alexnet.errors import UsageError
from alexnet.pictures.limits import Limits

SHOWN = 8  # entries of each kind on a terminal

Document = dict[str, Any]


@command("alexnet check photos/ --skip-list-out bad.txt")
@click.argument("data")
@click.option("--out", type=click.Path(path_type=Path), help="Also write all that was found to a .json or .csv file.")
@click.option(
    "--skip-list-out",
    type=click.Path(path_type=Path),
    help="Write the paths of unreadable pictures to a file for train --skip-list.",
)
@click.option("--duplicates", is_flag=True, help="With --skip-list-out: all but one of each group of copies, too.")
@click.option("--skip-list", type=click.Path(path_type=Path), help="Pictures to leave out, as train does.")
@limited
@click.option("--force", is_flag=True, help="Overwrite the files.")
def check(
    data: str,
    out: Path | None,
    skip_list_out: Path | None,
    duplicates: bool,
    skip_list: Path | None,
    limits: Limits,
    force: bool,
    as_json: bool,
) -> int:
    """Say what is wrong with DATA: pictures that cannot be decoded, copies, leaks between parts, uneven classes.

    Ends with 3 when training would refuse pictures, with 0 otherwise: warnings alone refuse nothing.
    """
    from alexnet.pictures.checks.check import check as run
    from alexnet.pictures.checks.check import to_leave_out
    from alexnet.pictures.skip_list import read_skip_list, write_skip_list

    if duplicates and not skip_list_out:
        raise UsageError("--duplicates says what --skip-list-out writes; give that too")
    if out:
        new_file(out, force, (".json", ".csv"))
    if skip_list_out:
        new_file(skip_list_out, force)
    found = run(data, read_skip_list(skip_list) if skip_list else (), limits)

    def write() -> None:
        if out:
            _write(found, out)
        if skip_list_out:
            write_skip_list(skip_list_out, to_leave_out(found, duplicates))

    width = min(110, shutil.get_terminal_size((100, 24)).columns)
    emit(found, as_json, "\n".join(_report(found, width)), write)
    return 3 if found["unreadable"] else 0


def _write(found: Document, out: Path) -> None:
    from alexnet.storage import write_csv, write_json

    if out.suffix.lower() == ".json":
        write_json(out, found)
    else:
        write_csv(out, ("finding", "path", "detail"), _rows(found))


def _rows(found: Document) -> Iterator[tuple[str, str, str]]:
    """(finding, path, detail) of everything that concerns single pictures or files."""
    yield from (("unreadable", entry["path"], entry["reason"]) for entry in found["unreadable"])
    for number, group in enumerate(found["duplicates"], start=1):
        detail = f"group {number}: {group['kind']}; {', '.join(group['parts'])}; {', '.join(group['classes'])}"
        yield from (("duplicate", path, detail) for path in group["paths"])
    for kind in ("tiny", "long", "huge"):
        yield from ((kind, entry["path"], f"{entry['width']} x {entry['height']}") for entry in found[kind])
    yield from (("misnamed", entry["path"], entry["format"]) for entry in found["misnamed"])
    for kind in ("transparent", "many_frames", "passed_by", "strays", "odd_names", "links", "no_files"):
        yield from ((kind, path, "") for path in found[kind])


# ---------------------------------------------------------------------------------------------------------- for reading


def _report(found: Document, width: int) -> Iterator[str]:
    """What was found, for a terminal of some columns."""
    yield from _wrapped(f"{found['data']}: {found['pictures']:,} pictures, {len(found['classes']):,} classes", width)
    yield ""
    yield from _table(found["classes"], width)
    yield ""
    unreadable = [f"{shown(entry['path'])}: {entry['reason']}" for entry in found["unreadable"]]
    yield from _section("Unreadable", unreadable, width)
    yield from _section("Copies: exact (=) or nearly so (~)", list(map(_group, found["duplicates"])), width)
    yield from _section("Warnings", found["warnings"], width, most=len(found["warnings"]))
    yield from _section("For information", notes := list(_notes(found)), width, most=len(notes))
    yield from _wrapped(_verdict(found), width)


def _table(classes: dict[str, dict[str, int]], width: int) -> Iterator[str]:
    """Pictures of the largest and the smallest classes in each part."""
    parts = list(next(iter(classes.values()), {}))
    columns = [max(len(part), *(len(f"{counts[part]:,}") for counts in classes.values())) + 2 for part in parts]
    room = max(8, width - sum(columns))
    rows = sorted(classes.items(), key=lambda item: -sum(item[1].values()))
    names = [shown(name) if len(shown(name)) <= room else shown(name)[: room - 1] + "…" for name, _ in rows]
    space = max(map(len, [*names, "class"]))
    yield "class".ljust(space) + "".join(map(str.rjust, parts, columns))
    cells = [
        [f"{counts[part]:,}".rjust(column) for part, column in zip(parts, columns, strict=True)] for _, counts in rows
    ]
    lines = [name.ljust(space) + "".join(numbers) for name, numbers in zip(names, cells, strict=True)]
    if len(lines) > 2 * SHOWN:
        lines[SHOWN:-SHOWN] = [f"… {len(lines) - 2 * SHOWN:,} more"]
    yield from lines


def _section(title: str, lines: list[str], width: int, most: int = SHOWN) -> Iterator[str]:
    """A heading with its number of entries and the first of them; nothing where there are none."""
    if not lines:
        return
    yield f"{title} ({len(lines):,})" if len(lines) > 1 else title
    for line in lines[:most]:
        yield from _wrapped(line, width, "  ")
    if len(lines) > most:
        yield from _wrapped(f"… {len(lines) - most:,} more; --json and --out list all", width, "  ")
    yield ""


def _group(group: Document) -> str:
    paths = [shown(path) for path in group["paths"]]
    more = f" and {len(paths) - 4:,} more" if len(paths) > 4 else ""
    return (" = " if group["kind"] == "same" else " ~ ").join(paths[:4]) + more


def _notes(found: Document) -> Iterator[str]:
    """What is no fault, but may explain something."""
    if found["formats"]:
        yield f"formats: {_tally(found['formats'])}; modes: {_tally(found['modes'])}"
    if found["sizes"]:
        yield "sizes: " + ", ".join(f"{name} {width} x {height}" for name, (width, height) in found["sizes"].items())
    notes = {
        "misnamed": "of another format than the name says, read by content",
        "transparent": "with an alpha channel or a transparent colour; white shows through",
        "many_frames": "of several frames or pages, of which the first counts",
        "huge": "of 25 million pixels or more, slow to decode",
        "odd_names": "with names that scripts or other systems stumble over",
        "strays": "files beside them that are no pictures by their names",
        "hidden": "hidden files, passed by",
        "links": "links, followed",
    }
    for key, text in notes.items():
        if entries := found[key]:
            first = entries[0] if isinstance(entries[0], str) else entries[0]["path"]
            yield f"{len(entries):,} {text}: {shown(first)}" + (", …" if len(entries) > 1 else "")


def _verdict(found: Document) -> str:
    if count := len(found["unreadable"]):
        return (
            f"Training would refuse {count:,} of {found['pictures']:,} pictures: repair them, or leave them out with "
            "--skip-list-out F here and --skip-list F there."
        )
    return "Every picture can be decoded." if found["warnings"] else "Every picture can be decoded; nothing to warn of."


def _tally(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, max(20, width), initial_indent=indent, subsequent_indent=2 * indent, break_on_hyphens=False
    )
