"""Eight threads on one codec: the bytes and pixels of one thread, and no setting of torch is another afterwards."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from PIL import Image

import aecodec
from aecodec import api
from aecodec.format import entropy

THREADS, ROUNDS = 8, 3

# Of the threads' own pictures: sizes of one strip and several, levels from both ends and between.
SIZES = ((16, 16), (17, 33), (1, 70), (64, 48), (40, 24), (96, 80), (5, 5), (33, 100))
LEVELS = (0, 9, 18, 27, 36, 45, 54, 63)

Made = TypeVar("Made")


def at_once(work: Callable[[int], Made], threads: int = THREADS) -> list[Made]:
    """What `work` gives for 0, 1, ... in threads that begin together; the first error of any of them is raised."""
    start = threading.Barrier(threads, timeout=120)
    made: dict[int, Made] = {}
    errors: list[BaseException] = []

    def run(number: int) -> None:
        start.wait()
        try:
            made[number] = work(number)
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]
    return [made[number] for number in range(threads)]


def image_of(photo: np.ndarray, number: int) -> Image.Image:
    """The picture of a thread: RGB, grey, with alpha and with both by turns."""
    height, width = SIZES[number]
    pixels = photo[7 * number:7 * number + height, 5 * number:5 * number + width]
    image = Image.fromarray(np.dstack([pixels, pixels[:, :, 1]]))
    return image.convert(("RGB", "L", "RGBA", "LA")[number % 4])


def settings() -> dict[str, Any]:
    """What a program may have set in torch and NumPy, and this thread's part of it."""
    return {
        "threads": torch.get_num_threads(),
        "threads between operators": torch.get_num_interop_threads(),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "type": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "precision": torch.get_float32_matmul_precision(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "autocast type": torch.get_autocast_dtype("cpu"),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "oneDNN": torch.backends.mkldnn.enabled,
        "random": torch.random.get_rng_state().tolist(),
        "cuDNN": (torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32),
        "errors": np.geterr(),
    }


@pytest.fixture
def strange_settings():
    """Settings other than torch's own: one that is set back to its default would show."""
    before = torch.get_float32_matmul_precision(), torch.get_num_threads(), torch.is_grad_enabled()
    torch.set_float32_matmul_precision("medium")
    torch.set_num_threads(3 if before[1] != 3 else 2)
    torch.set_grad_enabled(False)
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.set_num_threads(before[1])
    torch.set_grad_enabled(before[2])


def test_eight_threads_give_what_one_gives(codec, photo):
    images = [image_of(photo, number) for number in range(THREADS)]
    coded = [codec.encode(image, level=level) for image, level in zip(images, LEVELS, strict=True)]
    pixels = [codec.decode(data, output="array").tobytes() for data in coded]

    def work(number: int) -> list[tuple[bytes, bytes]]:
        made = []
        for turn in range(ROUNDS):
            at = (number + turn) % THREADS  # every thread another picture, and each picture in three threads
            data = codec.encode(images[at], level=LEVELS[at])
            made.append((data, codec.decode(data, output="array").tobytes()))
        return made

    for number, made in enumerate(at_once(work)):
        for turn, (data, decoded) in enumerate(made):
            at = (number + turn) % THREADS
            assert data == coded[at]
            assert decoded == pixels[at]


def test_eight_threads_on_one_file(codec, photo):
    """The same bytes object, decoded by all at once, good and damaged by turns."""
    data = codec.encode(photo[:48, :64], level=40)
    expected = codec.decode(data, output="array")

    def work(number: int) -> bool:
        for turn in range(ROUNDS):
            if (number + turn) % 2:
                with pytest.raises(aecodec.CorruptFile):
                    codec.decode(data[:-1 - number])
            elif not np.array_equal(codec.decode(data, output="array"), expected):
                return False
        return True

    assert all(at_once(work))


def test_weights_are_loaded_once_by_whoever_comes_first(codec, photo, monkeypatch):
    """Nobody waits for nothing: those who come second use what the first one has loaded."""
    from aecodec import models

    loads = []
    real = models.load
    monkeypatch.setattr(models, "load", lambda info: loads.append(info) or real(info))
    fresh = aecodec.Codec(device="cpu")
    fresh._coders.clear()
    loads.clear()
    image = photo[:33, :40]
    expected = codec.encode(image, level=31)

    def work(number: int) -> bytes:
        return fresh.encode(image, level=31) if number % 2 else fresh.decode(expected, output="array").tobytes()

    made = at_once(work)
    assert len(loads) == 1
    assert set(made[1::2]) == {expected}
    assert set(made[::2]) == {codec.decode(expected, output="array").tobytes()}


def test_the_first_use_of_the_functions_by_eight_threads(codec, photo, monkeypatch):
    """`aecodec.encode` and `decode` share a codec that the first call makes, once."""
    codecs = []

    def make() -> aecodec.Codec:
        codecs.append(aecodec.Codec(device="cpu"))
        return codecs[-1]

    monkeypatch.setattr(api, "_make_default", functools.lru_cache(maxsize=1)(make))
    image = photo[:20, :30]
    expected = codec.encode(image, 50)
    pixels = np.asarray(codec.decode(expected))

    def work(number: int) -> bytes:
        return aecodec.encode(image, 50) if number % 2 else np.asarray(aecodec.decode(expected)).tobytes()

    made = at_once(work)
    assert len(codecs) == 1
    assert set(made[1::2]) == {expected}
    assert set(made[::2]) == {pixels.tobytes()}


def test_tables_made_by_eight_threads_at_once(codec):
    """The coder's models are made when they are first used."""
    made = codec.coder.tables
    tables = entropy.Tables(made.counts, made.half)
    index = np.arange(len(made.half) * 4, dtype=np.uint8).repeat(3) % len(made.half)
    symbols = np.where(index > 0, np.arange(index.size) % 3 - 1, 0)

    def encode(tables: entropy.Tables) -> bytes:
        encoder = entropy.SymbolEncoder(tables)
        encoder.encode(symbols, index)
        return encoder.finish()

    assert set(at_once(lambda _: encode(tables))) == {encode(made)}


def test_no_setting_is_another_afterwards(codec, photo, strange_settings):
    before = settings()

    def work(number: int) -> tuple[dict[str, Any], dict[str, Any]]:
        torch.set_grad_enabled(number % 2 == 0)  # a setting of this thread alone
        own = settings()
        data = codec.encode(image_of(photo, number), level=LEVELS[number])
        codec.decode(data)
        with pytest.raises(aecodec.CorruptFile):
            codec.decode(data[:-1])
        return own, settings()

    for number, (own, afterwards) in enumerate(at_once(work)):
        assert own["gradients"] is (number % 2 == 0)
        assert afterwards == own
    assert settings() == before


@pytest.mark.parametrize("name", ["encode", "decode"])
def test_no_setting_is_another_after_an_error_inside(codec, photo, monkeypatch, strange_settings, name):
    """The mode without gradients, and without the caller's autocast, ends with the call however that ends."""
    from aecodec.network.context import MeanContext

    data = codec.encode(photo[:16, :16], level=20)

    def failing(*_: object) -> None:
        assert torch.is_inference_mode_enabled()
        assert not torch.is_autocast_enabled("cpu")
        raise KeyboardInterrupt

    monkeypatch.setattr(MeanContext, "strips", failing)
    with torch.autocast("cpu", enabled=True):
        before = settings()
        with pytest.raises(KeyboardInterrupt):
            codec.encode(photo[:16, :16], level=20) if name == "encode" else codec.decode(data)
        assert settings() == before


def test_a_new_codec_changes_no_setting(strange_settings, photo):
    before = settings()
    aecodec.Codec(device="cpu").encode(photo[:16, :16])
    assert settings() == before
