"""Test vectors: what there is between the stages of decoding a file, as small arrays that any language reads.

A reader that is written anew compares itself with them stage by stage: symbols, table indices and pixels tell which
part of FORMAT.md it has misread.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from . import container, reference

INDEX_FILE = "vectors.json"

#: name: (NumPy type, what it holds; sections are FORMAT.md's)
ARRAYS = {
    "z": ("<i2", "symbols of the hyper-latents [Z, h', w'] (section 5); equal in every reader"),
    "index": ("|u1", "table of every latent [M, h, w] (section 7); equal in every reader"),
    "y": ("<i2", "symbols of the latents [M, h, w] (section 5); equal in every reader"),
    "latents": ("<f4", "dequantised latents [M, h, w] (section 8); they may differ by rounding"),
    "pixels": ("|u1", "the picture [H, W], or [H, W, channels]: grey or red, green, blue, then alpha; samples may "
                      "differ by 1, alpha may not"),
}


def write(tensors: reference.Tensors, data: bytes, name: str, folder: Path) -> None:
    """Write the test vectors of a file into a folder, which is made if need be.

    An `.npy` each (little-endian, C order), and `vectors.json`, which names them.

    Args:
        tensors: the weights that the file was made with.
        data: the file.
        name: what the file is called.

    Raises:
        AecError: the file cannot be decoded; see `reference.decode`.
        OSError: the folder cannot be written.
    """
    decoded = reference.decode(tensors, data)
    folder.mkdir(parents=True, exist_ok=True)
    described = {}
    for array, (dtype, meaning) in ARRAYS.items():
        values = np.ascontiguousarray(getattr(decoded, array), dtype)
        np.save(folder / f"{array}.npy", values, allow_pickle=False)
        described[array] = {"file": f"{array}.npy", "dtype": dtype, "shape": list(values.shape), "holds": meaning}
    index = {**_described(decoded.header), "file": name, "file_sha256": hashlib.sha256(data).hexdigest(),
             "arrays": described}
    (folder / INDEX_FILE).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def _described(header: container.Header) -> dict[str, Any]:
    """What the header says, in JSON; hashes and checksums in hexadecimal digits as in messages."""
    return {"format_version": container.VERSION, "model_id": header.model_id, "bundle_hash": header.bundle_hash.hex(),
            "level": header.level, "tune": header.tune, "width": header.width, "height": header.height,
            "grey": header.grey, "symbol_crc": f"{header.symbol_crc:08x}"}
