"""The Python API: pictures of any size there and back, and what is refused and how."""

from __future__ import annotations

import io
import itertools
import json
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import aecodec
from aecodec.format import container
from aecodec.metrics import psnr
from helpers import resigned

SIZES = [(1, 1), (1, 2), (2, 1), (1, 37), (100, 1), (15, 17), (16, 16), (17, 16), (63, 65), (64, 64), (65, 130),
         (5, 199)]


def smooth(height: int, width: int) -> np.ndarray:
    """An easy picture, so that a decoded one must be close to it: `uint8 [H, W, 3]`."""
    y, x = np.mgrid[:height, :width]
    planes = [128 + 60 * np.sin(x / 31 + phase) + 40 * np.cos(y / 27) for phase in (0, 1, 2)]
    return np.stack(planes, axis=2).round().astype(np.uint8)


@pytest.fixture(scope="module")
def coded(codec, photo) -> bytes:
    return codec.encode(photo[:96, :80], 50)


# -- there and back -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_any_size_of_array(codec, size):
    picture = smooth(*size)
    data = codec.encode(picture, 80)
    header = aecodec.read_header(data)
    assert (header.height, header.width) == size
    decoded = codec.decode(data)
    assert decoded.mode == "RGB"
    assert decoded.size == size[::-1]
    assert psnr(decoded, picture) > 25


@pytest.mark.parametrize("size", [(1, 1), (17, 33), (70, 64)])
def test_grey_arrays_come_back_grey(codec, size):
    picture = smooth(*size)[:, :, 0]
    data = codec.encode(picture, 80)
    assert aecodec.read_header(data).grey
    decoded = codec.decode(data)
    assert decoded.mode == "L"
    assert psnr(decoded, picture) > 25


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pillow_images_code_like_their_arrays(codec, photo, mode):
    image = Image.fromarray(photo[:50, :70]).convert(mode)
    data = codec.encode(image, 70)
    assert data == codec.encode(np.asarray(image), 70)
    decoded = codec.decode(data)
    assert (decoded.mode, decoded.size) == (image.mode, image.size)
    assert psnr(decoded, image) > 25


def test_a_photo_comes_back(codec, photo):
    low, high = (codec.decode(codec.encode(photo, quality)) for quality in (20, 95))
    assert psnr(low, photo) > 24
    assert psnr(high, photo) > psnr(low, photo) + 3


def test_more_quality_takes_more_bytes(codec, photo):
    sizes = [len(codec.encode(photo[:128, :160], level=level)) for level in range(aecodec.LEVELS)]
    assert all(a < b for a, b in zip(sizes, sizes[3:], strict=False))
    assert sum(a >= b for a, b in itertools.pairwise(sizes)) <= 2  # neighbours may tie on so small a picture
    assert sizes[-1] > 5 * sizes[0]


def test_more_quality_is_better(codec, photo):
    reached = [psnr(codec.decode(codec.encode(photo, quality)), photo) for quality in (0, 25, 50, 75, 100)]
    assert reached == sorted(reached)
    assert reached[-1] > reached[0] + 6


def test_the_layout_of_an_array_does_not_matter(codec, photo):
    part = photo[10:60, 5:81]
    wanted = codec.encode(part.copy(), 40)
    read_only = part.copy()
    read_only.flags.writeable = False
    for same in (part, np.asfortranarray(part), part[::-1].copy()[::-1], read_only):
        assert codec.encode(same, 40) == wanted


def test_the_picture_is_left_alone(codec, photo):
    array, image = photo.copy(), Image.fromarray(photo)
    codec.encode(array)
    codec.encode(image)
    assert (array == photo).all()
    assert (np.asarray(image) == photo).all()


def test_coding_is_repeatable(codec, photo, coded):
    assert codec.encode(photo[:96, :80], 50) == coded
    first, second = codec.decode(coded), codec.decode(coded)
    assert (np.asarray(first) == np.asarray(second)).all()


@pytest.mark.parametrize("convert", [bytes, bytearray, memoryview])
def test_any_bytes_like_object_is_decoded(codec, coded, convert):
    assert codec.decode(convert(coded)).size == (80, 96)
    assert aecodec.read_header(convert(coded)).width == 80


def test_the_functions_use_the_default_model(codec, photo, coded):
    assert aecodec.encode(photo[:96, :80]) == coded
    assert aecodec.decode(coded).size == (80, 96)


def test_timings_are_filled_in(codec, photo):
    timings: dict[str, float] = {}
    data = codec.encode(photo, timings=timings)
    assert {"analysis", "entropy"} <= timings.keys()
    timings = {}
    codec.decode(data, timings=timings)
    assert {"entropy", "synthesis"} <= timings.keys()
    assert min(timings.values()) >= 0
    assert sum(timings.values()) > 0


def test_no_warnings(codec, photo):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codec.decode(codec.encode(Image.fromarray(photo)))


# -- orientation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(codec, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(smooth(40, 90)).save(file, "PNG", exif=exif)
    image = Image.open(file)
    upright = ImageOps.exif_transpose(Image.open(file))
    decoded = codec.decode(codec.encode(image, 80))
    assert decoded.size == upright.size == ((90, 40) if orientation < 5 else (40, 90))
    assert psnr(decoded, upright) > 25
    assert decoded.getexif().get(0x0112, 1) == 1  # it is not applied twice


def tiff_entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
    return struct.pack(">HHI4s", tag, kind, count, value)


@pytest.mark.parametrize("odd", [
    pytest.param(tiff_entry(0x011A, 2, 4, b"abc\0"), id="a resolution that is text"),
    pytest.param(tiff_entry(0x0128, 2, 2, b"x\0\0\0"), id="a unit that is text"),
    pytest.param(tiff_entry(0x0128, 4, 1, b"\0\1\x86\xa0"), id="a unit above 16 bits"),
    pytest.param(tiff_entry(0x8769, 4, 1, b"\0\0\xff\xff"), id="a directory beyond the end"),
])
def test_odd_exif_does_not_matter(codec, odd):
    """Cameras and editors write EXIF that cannot be written again; the picture is turned all the same."""
    entries = sorted([tiff_entry(0x0112, 3, 1, b"\0\6\0\0"), odd])
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, len(entries)) + b"".join(entries) + bytes(4)
    file = io.BytesIO()
    Image.fromarray(smooth(40, 90)).save(file, "JPEG", exif=exif)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert codec.decode(codec.encode(Image.open(file))).size == (40, 90)


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0garbage!", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"])
def test_broken_exif_does_not_matter(codec, exif):
    image = Image.fromarray(smooth(20, 30))
    image.info["exif"] = exif
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert codec.decode(codec.encode(image)).size == (30, 20)


# -- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("picture", "hint"), [
    (np.zeros((4, 4, 3)), "uint8"),
    (np.zeros((4, 4, 3), np.uint16), "uint8"),
    (np.zeros((4, 4), bool), "uint8"),
    (np.zeros((4, 4, 5), np.uint8), r"\[H, W, 3\]"),
    (np.zeros((2, 4, 4, 3), np.uint8), r"\[H, W, 3\]"),
    (np.zeros(12, np.uint8), r"\[H, W, 3\]"),
    (np.zeros((0, 4, 3), np.uint8), "at least one pixel"),
    (np.zeros((4, 0), np.uint8), "at least one pixel"),
    (Image.new("F", (4, 4)), "convert"),
    (Image.new("RGB", (0, 4)), "at least one pixel"),
])
def test_an_unsupported_picture_is_refused_and_says_what_to_do(codec, picture, hint):
    with pytest.raises(aecodec.UnsupportedPicture, match=hint):
        codec.encode(picture)


def test_unsupported_pictures_are_value_errors_too():
    assert issubclass(aecodec.UnsupportedPicture, ValueError)
    assert issubclass(aecodec.UnsupportedPicture, aecodec.AecError)


@pytest.mark.parametrize("quality", [-1, 100.5, float("nan"), float("inf")])
def test_a_quality_out_of_range_is_refused(codec, photo, quality):
    with pytest.raises(ValueError, match="quality"):
        codec.encode(photo, quality)
    with pytest.raises(ValueError, match="quality"):
        aecodec.level_of(quality)


@pytest.mark.parametrize("level", [-1, 64])
def test_a_level_out_of_range_is_refused(codec, photo, level):
    with pytest.raises(ValueError, match="level"):
        codec.encode(photo, level=level)


def test_qualities_map_onto_all_levels():
    levels = [aecodec.level_of(tenth / 10) for tenth in range(1001)]
    assert levels == sorted(levels)
    assert sorted(set(levels)) == list(range(aecodec.LEVELS))
    for level in range(aecodec.LEVELS):
        header = container.Header(1, 1, level, 0, b"1234", 0, 0)
        assert aecodec.level_of(header.quality) == level


def test_large_pictures_are_refused(photo, coded):
    small = aecodec.Codec(device="cpu", limit_pixels=96 * 80 - 1)
    for attempt in (lambda: small.encode(photo[:96, :80]), lambda: small.decode(coded)):
        with pytest.raises(aecodec.LimitExceeded, match="limit"):
            attempt()
    exactly = aecodec.Codec(device="cpu", limit_pixels=96 * 80)
    assert exactly.decode(exactly.encode(photo[:96, :80])).size == (80, 96)
    assert aecodec.Codec(device="cpu", limit_pixels=None).decode(coded).size == (80, 96)


def test_a_large_picture_is_refused_before_it_is_decoded():
    """A PNG header that claims 100 megapixels and has none: decoding it would take 300 MB, then fail."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(io.BytesIO(png))
    with pytest.raises(aecodec.LimitExceeded):
        aecodec.Codec(device="cpu", limit_pixels=10**6).encode(image)


def test_a_forged_size_is_refused_before_anything_is_allocated(codec, coded):
    forged = resigned(container.read_file(coded), width=2**24 - 1, height=2**24 - 1)
    with pytest.raises(aecodec.LimitExceeded):
        codec.decode(forged)


# -- other weights ------------------------------------------------------------------------------------------------


def test_a_file_of_another_model_is_refused(codec, coded):
    other = resigned(container.read_file(coded), model_id=0xFFFE)
    with pytest.raises(aecodec.UnknownModel, match="0xfffe"):
        codec.decode(other)


def test_a_file_of_other_weights_is_refused(codec, coded):
    file = container.read_file(coded)
    other = resigned(file, bundle_hash=bytes(b ^ 1 for b in file.header.bundle_hash))
    with pytest.raises(aecodec.UnknownModel, match="weights"):
        codec.decode(other)


def test_a_model_by_path(codec, coded):
    path = codec.model.path
    for model in (path, str(path), path.parent, codec.model.name):
        named = aecodec.Codec(device="cpu", model=model)
        assert named.model.id == codec.model.id
    assert named.decode(coded).size == (80, 96)
    other = resigned(container.read_file(coded), model_id=0xFFFE)
    with pytest.raises(aecodec.UnknownModel):
        aecodec.Codec(device="cpu", model=path).decode(other)


def test_a_model_that_is_not_there_or_not_one(tmp_path, codec):
    with pytest.raises(aecodec.UnknownModel, match="no model named nothing"):
        aecodec.Codec(model="nothing")
    weights = codec.model.path.read_bytes()
    for name, content in {"empty": b"", "text": b"hello, world", "cut": weights[:100_000],
                          "headless": struct.pack("<Q", 2) + b"{}"}.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(aecodec.UnknownModel):
            aecodec.Codec(device="cpu", model=path)


def test_damaged_weights_are_found(tmp_path, codec):
    """A flipped bit among the weights of the analysis, which no file's bundle hash would notice."""
    weights = bytearray(codec.model.path.read_bytes())
    header = json.loads(weights[8:8 + int.from_bytes(weights[:8], "little")])
    begin, end = header["analysis.down.weight"]["data_offsets"]
    weights[8 + int.from_bytes(weights[:8], "little") + (begin + end) // 2] ^= 1
    path = tmp_path / "weights.safetensors"
    path.write_bytes(weights)
    with pytest.raises(aecodec.UnknownModel, match="checksum"):
        aecodec.Codec(device="cpu", model=path)


def test_weights_without_their_tables_are_refused(tmp_path, codec):
    from safetensors.numpy import load_file, save_file

    tensors = {k: v for k, v in load_file(codec.model.path).items() if not k.startswith("tables.")}
    path = tmp_path / "weights.safetensors"
    save_file(tensors, str(path), {"name": "x", "id": "61441", "config": json.dumps(codec.model.config)})
    with pytest.raises(aecodec.UnknownModel):
        aecodec.Codec(device="cpu", model=path)


@pytest.mark.parametrize("options", [{"device": "tpu"}, {"device": "gpu0"}, {"device": "meta"}, {"device": ""},
                                     {"device": "cpu", "precision": "float16"}, {"device": "cpu", "precision": ""}])
def test_a_device_or_precision_that_is_not_there(options):
    with pytest.raises(ValueError, match=r"device|precision"):
        aecodec.Codec(**options)


def test_what_a_codec_says_of_itself():
    codec = aecodec.Codec(device="cpu", precision="float32")
    assert (codec.device, codec.precision) == ("cpu", "float32")
    assert codec.model.path.is_file()


# -- damage -------------------------------------------------------------------------------------------------------


def test_a_forged_symbol_checksum_is_refused(codec, coded):
    file = container.read_file(coded)
    with pytest.raises(aecodec.CorruptFile, match="symbols"):
        codec.decode(resigned(file, symbol_crc=file.header.symbol_crc ^ 1))


@pytest.mark.parametrize("change", [{"width": 64}, {"width": 81}, {"height": 300}, {"height": 1}, {"level": 0},
                                    {"level": 63}])
def test_a_forged_header_never_gives_a_picture(codec, coded, change):
    """Other sizes and levels read other symbols. (A width of 65..79 has as many latents: the picture, cut.)"""
    with pytest.raises(aecodec.CorruptFile):
        codec.decode(resigned(container.read_file(coded), **change))


def test_a_damaged_payload_with_a_right_checksum_never_gives_a_picture(codec, photo):
    data = codec.encode(photo[:33, :40], 60)
    file = container.read_file(data)
    good = np.asarray(codec.decode(data))
    rng = np.random.default_rng(0)
    payloads = [file.payload[:length] for length in range(0, len(file.payload), 3)]
    for _ in range(60):
        damaged = bytearray(file.payload)
        damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
        payloads.append(bytes(damaged))
    payloads += [b"", b"\xff" * len(file.payload), rng.bytes(len(file.payload))]
    refused = 0
    for payload in payloads:
        try:
            picture = codec.decode(resigned(file, payload=payload))
        except aecodec.AecError:
            refused += 1
        else:  # the last bits of a range coder's stream need not matter
            assert (np.asarray(picture) == good).all()
    assert refused >= len(payloads) - 4


def test_a_damaged_file_is_refused(codec, coded):
    for data in (coded[:-1], coded[:40], coded + b"!", coded[:100] + bytes([coded[100] ^ 4]) + coded[101:]):
        with pytest.raises(aecodec.CorruptFile):
            codec.decode(data)
    for data in (b"", b"\x89PNG\r\n\x1a\n" + coded):
        with pytest.raises(aecodec.NotAec):
            codec.decode(data)


# -- threads, imports ---------------------------------------------------------------------------------------------


def test_a_codec_may_be_used_from_several_threads(photo, coded):
    codec = aecodec.Codec(device="cpu")
    pictures = [photo[i:i + 96, :80] for i in range(4)]
    wanted = [codec.encode(picture, 50) for picture in pictures]
    assert wanted[0] == coded
    results: dict[int, list[bytes]] = {}

    def work(number: int) -> None:
        results[number] = [codec.encode(picture, 50) for picture in pictures]
        for data in results[number]:
            codec.decode(data)  # raises if a symbol is another

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [results.get(number) for number in range(4)] == [wanted] * 4


def test_importing_the_package_does_not_import_torch():
    check = "import sys, aecodec; aecodec.LEVELS; print(sorted({'torch', 'safetensors'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_header_is_read_without_torch(tmp_path, coded):
    path = tmp_path / "x.aec"
    path.write_bytes(coded)
    check = (f"import sys, aecodec; print(aecodec.read_header(open({str(path)!r}, 'rb').read(64)).width, "
             "'torch' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["80", "False"]


def test_the_package_is_typed():
    assert Path(aecodec.__file__).with_name("py.typed").exists()


def test_coding_does_not_import_the_compiler():
    """TorchDynamo takes over a second to import: as long as all else that `aecodec compress` does."""
    code = ("import sys, numpy, aecodec\n"
            "aecodec.decode(aecodec.encode(numpy.zeros((16, 16, 3), numpy.uint8)))\n"
            "sys.exit('torch._dynamo.convert_frame' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
