"""What several test files need that is no fixture: `from helpers import ...`."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from aecodec import models
from aecodec.format import container
from aecodec.format.constants import TABLES

if TYPE_CHECKING:
    import torch
    from torch import nn

# -- pictures ------------------------------------------------------------------------------------------------------


def make_photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture with the statistics of a photo, roughly: smooth shading, edges and some noise. `uint8 [H, W, 3]`."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    planes = []
    for _ in range(3):
        shading = sum(np.sin(x * fx + y * fy + p) * a for fx, fy, p, a in
                      zip(rng.uniform(0, 0.15, 6), rng.uniform(0, 0.15, 6), rng.uniform(0, 6, 6),
                          rng.uniform(5, 30, 6), strict=True))
        planes.append(128 + shading)
    picture = np.stack(planes, axis=2)
    for _ in range(6):
        centre_y, centre_x, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(4, 40)
        picture[(y - centre_y) ** 2 + (x - centre_x) ** 2 < radius**2] += rng.uniform(-60, 60, 3)
    picture += rng.normal(0, 2, picture.shape)
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def ramp(mode: str, size=(24, 16)) -> Image.Image:
    """A picture of a mode with many values."""
    rng = np.random.default_rng(3)
    base = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 4), dtype=np.uint8))
    if mode == "LAB":
        return Image.merge("LAB", base.convert("RGB").split())
    if mode in ("HSV", "YCbCr", "CMYK", "1"):
        return base.convert("RGB").convert(mode)
    if mode in ("La", "RGBa"):
        return base.convert({"La": "LA", "RGBa": "RGBA"}[mode]).convert(mode)
    if mode in ("I;16", "I"):
        values = rng.integers(0, 65536, size[::-1])
        return Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.int32))
    if mode == "P":
        return base.convert("RGB").quantize(16)
    if mode == "PA":
        return base.convert("RGB").quantize(16).convert("PA")
    return base.convert(mode)


def make_exif(order: str, orientation: int, thumbnail: bytes = b"") -> bytes:
    """EXIF with an orientation, a description stored by offset, the picture's sides, and a thumbnail."""
    def entry(tag: int, kind: int, count: int, value: int) -> bytes:
        packed = struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value)
        return struct.pack(order + "HHI", tag, kind, count) + packed

    text = b"a description\0"
    main, detail, second = 8, 8 + 2 + 3 * 12 + 4, 8 + 2 + 3 * 12 + 4 + 2 + 2 * 12 + 4
    texts = second + 2 + 3 * 12 + 4
    return b"".join([
        b"II*\0" if order == "<" else b"MM\0*", struct.pack(order + "I", main),
        struct.pack(order + "H", 3), entry(0x010E, 2, len(text), texts), entry(0x0112, 3, 1, orientation),
        entry(0x8769, 4, 1, detail), struct.pack(order + "I", second if thumbnail else 0),
        struct.pack(order + "H", 2), entry(0xA002, 4, 1, 30), entry(0xA003, 3, 1, 20), struct.pack(order + "I", 0),
        struct.pack(order + "H", 3), entry(0x0112, 3, 1, orientation), entry(0x0201, 4, 1, texts + len(text)),
        entry(0x0202, 4, 1, len(thumbnail)), struct.pack(order + "I", 0), text, thumbnail,
    ])


def jpeg(array: np.ndarray, **options) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, "JPEG", quality=95, **options)
    return out.getvalue()


HDRGM = b"http://ns.adobe.com/hdr-gain-map/1.0/"


def gain_map_photo(array: np.ndarray, exif: bytes = b"", iso: bool = True) -> tuple[bytes, bytes]:
    """A JPEG with an HDR gain map as phones write it (Ultra HDR 1.1), and its gain map, a grey JPEG of a quarter."""
    def segment(marker: int, body: bytes) -> bytes:
        return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body

    def packet(inner: bytes) -> bytes:
        return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf="
                       b"'http://www.w3.org/1999/02/22-rdf-syntax-ns#'>" + inner + b"</rdf:RDF></x:xmpmeta>")

    meta = packet(b'<rdf:Description rdf:about="" xmlns:hdrgm="' + HDRGM + b'" hdrgm:Version="1.0" hdrgm:GainMapMin='
                  b'"0.0" hdrgm:GainMapMax="2.5" hdrgm:HDRCapacityMax="2.5"/>')
    if iso:
        meta += segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4) + b"the parameters")
    bright = Image.fromarray(array).convert("L").resize((array.shape[1] // 2, array.shape[0] // 2))
    out = io.BytesIO()
    bright.save(out, "JPEG", quality=90, extra=meta)
    gain_map = out.getvalue()
    claim = packet(
        b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="image/jpeg"/>'
        b'<rdf:Description rdf:about="" xmlns:Container="http://ns.google.com/photos/1.0/container/" xmlns:Item='
        b'"http://ns.google.com/photos/1.0/container/item/" xmlns:hdrgm="' + HDRGM + b'" hdrgm:Version="1.0">'
        b'<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="Primary" '
        b'Item:Mime="image/jpeg"/></rdf:li><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="GainMap" '
        b'Item:Mime="image/jpeg" Item:Length="%d"/></rdf:li></rdf:Seq></Container:Directory></rdf:Description>'
        % len(gain_map))
    first = jpeg(array, exif=exif, extra=claim)
    place = first.index(claim) + len(claim)
    size, header = len(first) + 4 + 4 + 82, place + 8
    mpf = b"MPF\0MM\0*" + struct.pack(">IH", 8, 3) + struct.pack(">HHI4s", 0xB000, 7, 4, b"0100")
    mpf += struct.pack(">HHII", 0xB001, 4, 1, 2) + struct.pack(">HHII", 0xB002, 7, 32, 50) + bytes(4)
    mpf += struct.pack(">IIIHH", 0x030000, size, 0, 0, 0) + struct.pack(">IIIHH", 0, len(gain_map), size - header, 0, 0)
    whole = first[:place] + segment(0xE2, mpf) + first[place:]
    assert len(whole) == size
    return whole + gain_map, gain_map


# -- .aec files and FORMAT.md ---------------------------------------------------------------------------------------

FORMAT = Path(container.__file__).with_name("FORMAT.md")
GOLDEN = sorted((Path(__file__).parent / "golden" / "v0").glob("*.aec"))


def signed(front: bytes) -> bytes:
    """Bytes and their right checksum: what is refused is refused for what it says."""
    return front + struct.pack("<I", zlib.crc32(front))


def box_bytes(kind: bytes, data: bytes, length: int | None = None) -> bytes:
    """A box as it stands in a file, with a right checksum, and a wrong length if one is given."""
    return signed(kind + struct.pack("<I", len(data) if length is None else length) + data)


def resigned(file: container.AecFile, **changes) -> bytes:
    """A file with other header fields, payload or boxes, and right checksums."""
    payload, kept = changes.pop("payload", file.payload), changes.pop("boxes", file.boxes)
    header = dataclasses.replace(file.header, payload_length=len(payload), **changes)
    return container.write_file(container.AecFile(header, payload, tuple(kept)))


def format_text() -> str:
    """FORMAT.md in one line, whatever its lines."""
    return " ".join(FORMAT.read_text().split())


def format_example(name: str) -> list[str]:
    """The lines of an example in FORMAT.md."""
    found = re.search(rf"```text {name}\n(.*?)```", FORMAT.read_text(), re.DOTALL)
    assert found, f"FORMAT.md has no example {name}"
    return found[1].splitlines()


def hex_bytes(line: str) -> bytes:
    """The bytes in front of a line's explanation, which two spaces set off."""
    return bytes.fromhex(line.split("  ")[0])


def scale_tensors(decoder: nn.Module) -> dict[str, np.ndarray]:
    """An `IntegerScaleDecoder` as the tensors of a weights file, for `aecodec.format.reference_network`."""
    return {f"scale_decoder.{name}": tensor.numpy() for name, tensor in decoder.state_dict().items()}


def random_model(settings: dict[str, object], folder: Path) -> models.ModelFile:
    """A model of other sizes (`ModelConfig`'s arguments) with weights at random that are no identity anywhere, and the
    shipped probability tables; nothing is written into the folder that it says it lies in."""
    import torch

    from aecodec.network.model import ModelConfig, ShippedNetwork

    torch.manual_seed(0)
    network = ShippedNetwork(ModelConfig(**settings))  # type: ignore[arg-type]
    for name, tensor in network.named_parameters():
        if tensor.ndim > 1 and "knots" not in name:  # knots of feature gains stay at 1
            torch.nn.init.normal_(tensor, std=0.4 / np.sqrt(tensor[0].numel()))  # small: errors must not grow
    network.gain.knots.data.uniform_(3, 6)  # so that symbols are not zero
    network.scale_decoder.offsets.random_(0, 250)
    network.scale_decoder.steps.random_(1, 9)
    for layer in network.scale_decoder.layers:
        layer.weight.random_(-127, 128)
        layer.shift.fill_(10)
    tensors = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    shipped = models.load(models.find())
    tensors |= {name: shipped.tensors[name] for name in (models.TABLE_COUNTS, models.TABLE_HALVES)}
    tensors["z_index"] = np.full_like(tensors["z_index"], TABLES)
    config = json.loads(json.dumps(network.config.to_dict()))
    info = replace(shipped.info, config=config, path=folder / models.WEIGHTS_FILE, checksum=None)
    return models.ModelFile(info, tensors, models.bundle_hash(tensors))


# -- torch -------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """As many threads of torch."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """torch's precision of products of float32."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def centred(photo: np.ndarray, height: int, width: int) -> torch.Tensor:
    """The upper left corner of a photo as a network takes it, `[1, 3, height, width]`."""
    import torch

    return torch.from_numpy(photo[:height, :width].copy()).permute(2, 0, 1)[None].float() / 255 - 0.5


def random_parameters(module: nn.Module, seed: int) -> nn.Module:
    """Every parameter at random, so that no residual is zero."""
    import torch

    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.3 if name.endswith("knots") else 0.1))
    return module.eval()
