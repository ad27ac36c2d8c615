"""What a run keeps in its folder: the checkpoint, and the tables of its progress. A kill loses neither."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import torch

from .. import files
from ..network.model import ModelConfig, TrainableNetwork

CHECKPOINT = "checkpoint.pt"


def path_of(path: Path) -> Path:
    """The checkpoint that a path names: a file, or the folder of a run."""
    return path / CHECKPOINT if path.is_dir() else path


def write(path: Path, state: dict[str, Any]) -> None:
    """`torch.save` in one piece: a kill leaves the old file or the new one."""
    files.write_atomically(path, lambda file: torch.save(state, file))


def read(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """A checkpoint's contents. Reading one runs no code.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is something else.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist; name a checkpoint or the --out folder of a training") from None
    except Exception as error:  # unpickling may raise anything on another kind of file
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(f"{path} is not a checkpoint of a training ({reason})") from None
    if not isinstance(state, dict) or not {"network", "average", "config", "step"} <= set(state):
        raise ValueError(f"{path} is not a checkpoint of a training")
    return state


def network_of(checkpoint: dict[str, Any]) -> TrainableNetwork:
    """The averaged network of a checkpoint."""
    network = TrainableNetwork(ModelConfig.from_dict(checkpoint["config"]))
    network.load_state_dict(checkpoint["network"])
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), checkpoint["average"], strict=True):
            parameter.copy_(value)
    return network.eval()


def summary(checkpoint: dict[str, Any]) -> str:
    """What a checkpoint adds to the history of a training that starts from it."""
    return (f"{checkpoint['step']:,} steps, {checkpoint['pixels'] / 1e9:.2f} gigapixels, "
            f"{checkpoint['seconds'] / 3600:.2f} hours")


# -- tables of progress -------------------------------------------------------------------------------------------


def _write_rows(path: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def _read_rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def forget_rows(path: Path, step: int) -> None:
    """Drop the rows of a CSV that a run resumed at `step` is about to write again."""
    if not path.exists():
        return
    rows = _read_rows(path)
    kept = [row for row in rows if int(row["step"]) <= step]
    if len(kept) < len(rows):
        _write_rows(path, list(rows[0]), kept)


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add a row to a CSV; with the header if it is new, and with new columns where a resumed run has others."""
    rows = _read_rows(path) if path.exists() else []
    if not rows:  # a kill may have left an empty file
        _write_rows(path, list(row), [row])
        return
    columns = list(rows[0])
    new = [name for name in row if name not in columns]
    if new:
        _write_rows(path, [*columns, *new], [*rows, row])
        return
    with open(path, "a", newline="") as file:
        csv.DictWriter(file, columns, restval="").writerow(row)
