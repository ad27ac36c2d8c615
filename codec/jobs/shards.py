"""Pictures inside shards: the column of a Parquet file, the members of a WebDataset tar file.

What comes of a shard is a shard of the same kind, with everything else that was in it. It is in memory as a whole, as
it was and as it will be.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import AecError, MissingPackage
from . import sources
from .coding import Coding, Made
from .storage import Location

PARQUET, TAR = ".parquet", ".tar"

Failures = list[tuple[str, str]]  # names of pictures, and what is wrong with each


def is_shard(place: Location) -> bool:
    """Whether a name is that of a shard."""
    return place.suffix.lower() in (PARQUET, TAR)


def code(coding: Coding, source: Location, data: bytes, column: str | None, ending: str) -> tuple[Made, Failures]:
    """Code the pictures in a shard.

    Args:
        coding: what is done to a picture.
        source: names the shard in errors.
        data: its bytes.
        column: of a Parquet file, that holds the pictures' bytes: binary, or a struct with a field `bytes`. None where
            only one can be meant.
        ending: what names of outputs end in; names in shards get the last part of it, since those of a sample's
            members are equal up to the first dot.

    Returns:
        The shard that comes of it, and what could not be coded: a tar file lacks it, a Parquet file has a null there.

    Raises:
        AecError: the shard cannot be read.
    """
    tally, ending = _Tally(coding, source), PurePosixPath("x" + ending).suffix
    try:
        made = (_parquet(tally, data, column, ending) if source.suffix.lower() == PARQUET else
                _tar(tally, data, ending))
    except AecError as error:
        raise sources.named(source, error) from None
    return Made(made, {"pictures": tally.pictures, "pixels": tally.pixels, "seconds": tally.seconds}), tally.failures


class _Tally:
    """Codes pictures, and counts."""

    def __init__(self, coding: Coding, source: Location) -> None:
        self.coding, self.source = coding, source
        self.pictures, self.pixels, self.seconds = 0, 0, 0.0
        self.failures: Failures = []

    def __call__(self, name: str, data: bytes) -> bytes | None:
        """What comes of a picture; None if that is nothing."""
        try:
            made = self.coding.code(Path(name), data)
        except AecError as error:
            self.failures.append((name, str(error)))
            return None
        self.pictures += 1
        self.pixels += made.facts.get("width", 0) * made.facts.get("height", 0)
        self.seconds += made.facts.get("seconds", 0.0)
        return made.data


def _tar(coded: _Tally, data: bytes, ending: str) -> bytes:
    import tarfile

    refused: Callable[[Path], str | None] = sources.not_a_picture if ending == sources.ENDING else sources.not_aec
    out = BytesIO()
    try:
        with tarfile.open(fileobj=BytesIO(data)) as old, tarfile.open(fileobj=out, mode="w") as new:
            for member in old:
                file = old.extractfile(member) if member.isfile() else None
                contents = None if file is None else file.read()
                if contents is not None and refused(Path(member.name)) is None:
                    contents = coded(member.name, contents)
                    if contents is None:
                        continue
                    member.name = str(PurePosixPath(member.name).with_suffix(ending))
                    member.pax_headers = {key: value for key, value in member.pax_headers.items() if key != "path"}
                    member.size = len(contents)
                new.addfile(member, None if contents is None else BytesIO(contents))
    except (tarfile.TarError, EOFError) as error:
        raise AecError(f"is no whole tar file ({error}); get a complete copy of it") from None
    return out.getvalue()


def _parquet(coded: _Tally, data: bytes, column: str | None, ending: str) -> bytes:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingPackage(f"Parquet files need pyarrow ({error}); pip install 'aecodec[ray]'") from None

    out, row = BytesIO(), 0
    try:
        file = pq.ParquetFile(BytesIO(data))
        schema = file.schema_arrow
        name = _column(schema, column)
        with pq.ParquetWriter(out, schema) as writer:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                index = table.column_names.index(name)
                made = _coded_column(coded, table.column(index), row, ending)
                writer.write_table(table.set_column(index, schema.field(name), made))
                row += table.num_rows
    except pa.ArrowException as error:
        raise AecError(f"is no whole Parquet file ({error}); get a complete copy of it") from None
    return out.getvalue()


def _column(schema: Any, wanted: str | None) -> str:
    """The name of the column that holds pictures."""
    import pyarrow.types as types

    def holds_bytes(kind: Any) -> bool:
        if types.is_struct(kind):
            return kind.get_field_index("bytes") >= 0 and holds_bytes(kind.field("bytes").type)
        return types.is_binary(kind) or types.is_large_binary(kind)

    possible = [field.name for field in schema if holds_bytes(field.type)]
    if wanted is None and len(possible) == 1:
        return str(possible[0])
    if wanted in possible:
        return str(wanted)
    raise AecError(f"columns with bytes: {', '.join(possible) or 'none'}; name the one with pictures with --column")


def _coded_column(coded: _Tally, column: Any, first_row: int, ending: str) -> Any:
    """A column of the same type with what comes of its pictures."""
    import pyarrow as pa

    values: list[Any] = []
    for row, value in enumerate(column.to_pylist(), first_row):
        data = value.get("bytes") if isinstance(value, dict) else value
        path = value.get("path") if isinstance(value, dict) else None
        made = None if data is None else coded(path or f"row {row}", data)
        if not isinstance(value, dict):
            values.append(made)
        elif made is None:
            values.append({**value, "bytes": None})
        else:
            values.append({**value, "bytes": made} | (
                {"path": str(PurePosixPath(path).with_suffix(ending))} if path else {}))
    return pa.chunked_array([pa.array(values, column.type)])
