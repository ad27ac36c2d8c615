"""The learned codecs: this project's, and CompressAI's networks."""

from __future__ import annotations

import hashlib
import struct
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aecodec.format.constants import LEVELS

from .base import Codec, NotAvailable, Options, Pixels, Timings, release

OURS_PREFIX, COMPRESSAI_PREFIX = "aecodec-", "compressai-"


class AecodecCodec(Codec):
    """This project's codec with one of its models, through its public API."""

    settings: Sequence[float] = tuple(int(level) for level in np.linspace(0, LEVELS - 1, 12).round())
    fine: Sequence[float] = tuple(range(LEVELS))
    speed_setting = 32.0

    def __init__(self, model: str, options: Options) -> None:
        import aecodec

        self.name = OURS_PREFIX + model
        try:
            self.codec = aecodec.Codec(device=options.device, model=options.models.get(model, model),
                                       precision=options.precision, engine=options.engine, threads=options.threads)
        except (aecodec.AecError, ValueError) as error:
            raise NotAvailable(str(error)) from error
        self.device = self.codec.device
        header = aecodec.read_header(self.encode(np.zeros((16, 16, 3), np.uint8), self.speed_setting))
        self.version = f"aecodec {aecodec.__version__}, model {header.model_id:04x}-{header.bundle_hash.hex()}"

    def encode(self, pixels: Pixels, setting: float, timings: Timings | None = None) -> bytes:
        return self.codec.encode(pixels, level=int(setting), timings=timings)

    def decode(self, data: bytes, timings: Timings | None = None) -> Pixels:
        return np.asarray(self.codec.decode(data, timings=timings).convert("RGB"))


class CompressaiCodec(Codec):
    """One of CompressAI's networks (Begaint et al. 2020) with its own range coder.

    The library leaves the file to its user, so a minimal one is written: quality, the picture's size, the shape
    of the innermost latents, and the strings with their lengths. `settings` are the qualities whose checkpoints
    were given; without any, the weights are random: good for timing (quality 4), not for quality.
    """

    speed_setting = 4.0
    _STRIDE = 64  # of the innermost latents
    _SIZES = struct.Struct("<BIIHHB")  # quality, height, width, latent height, latent width, number of strings
    _LENGTH = struct.Struct("<I")

    def __init__(self, architecture: str, options: Options) -> None:
        try:
            import torch

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what torch deprecates in it
                from compressai.zoo import image_models
                from compressai.zoo.image import model_architectures
                from compressai.zoo.pretrained import load_pretrained
        except ImportError as error:
            raise NotAvailable(f"{error}; pip install compressai (it needs numpy<2)") from error
        self._torch = torch
        _use_threads(options.threads)
        self.device = _device(options.device)
        self.name = COMPRESSAI_PREFIX + architecture
        self.version = f"compressai {release('compressai')}"
        self.networks: dict[int, Any] = {}
        for quality, path in sorted(options.compressai.get(architecture, {}).items()):
            state = torch.load(path, map_location="cpu", weights_only=True)
            state = load_pretrained(state.get("state_dict", state))
            self.networks[quality] = model_architectures[architecture].from_state_dict(state)
            self.version += f", q{quality} {hashlib.sha256(Path(path).read_bytes()).hexdigest()[:8]}"
        self.settings = self.fine = tuple(self.networks)
        if not self.networks:
            torch.manual_seed(0)
            self.networks[4] = image_models[architecture](4, "mse", pretrained=False)
            self.version += ", random weights"
        self.speed_setting = min(self.networks, key=lambda quality: abs(quality - self.speed_setting))
        for network in self.networks.values():
            network.update(force=True)
            network.eval().to(self.device)
            for transform in (network.g_a, network.g_s, getattr(network, "h_a", None), getattr(network, "h_s", None)):
                if transform is not None:
                    transform.register_forward_pre_hook(self._start)
                    transform.register_forward_hook(self._stop)
        self._began = self._transform = 0.0

    def _start(self, *_: Any) -> None:
        self.synchronise()
        self._began = time.perf_counter()

    def _stop(self, *_: Any) -> None:
        self.synchronise()
        self._transform += time.perf_counter() - self._began

    def _time(self, work: Callable[[], Any], timings: Timings | None) -> Any:
        """Run `work` and split its time: the transforms, and the rest (range coder and serial context model)."""
        self._transform, began = 0.0, time.perf_counter()
        with self._torch.inference_mode():
            result = work()
        self.synchronise()
        if timings is not None:
            timings["transform"] = timings.get("transform", 0.0) + self._transform
            timings["entropy"] = timings.get("entropy", 0.0) + time.perf_counter() - began - self._transform
        return result

    def encode(self, pixels: Pixels, setting: float, timings: Timings | None = None) -> bytes:
        quality = int(setting)
        height, width = pixels.shape[:2]
        padded = np.pad(pixels, ((0, -height % self._STRIDE), (0, -width % self._STRIDE), (0, 0)), mode="edge")
        x = self._torch.from_numpy(padded).to(self.device).permute(2, 0, 1)[None].float() / 255
        coded = self._time(lambda: self.networks[quality].compress(x), timings)
        strings = [batch[0] for batch in coded["strings"]]
        latent_height, latent_width = coded["shape"]
        file = self._SIZES.pack(quality, height, width, latent_height, latent_width, len(strings))
        return file + b"".join(self._LENGTH.pack(len(string)) + string for string in strings)

    def decode(self, data: bytes, timings: Timings | None = None) -> Pixels:
        quality, height, width, latent_height, latent_width, count = self._SIZES.unpack_from(data)
        at, strings = self._SIZES.size, []
        for _ in range(count):
            (length,) = self._LENGTH.unpack_from(data, at)
            at += self._LENGTH.size + length
            strings.append([data[at - length:at]])
        network = self.networks[quality]
        x = self._time(lambda: network.decompress(strings, (latent_height, latent_width))["x_hat"], timings)
        pixels = (x[0].clamp(0, 1) * 255).round().to(self._torch.uint8).permute(1, 2, 0).cpu().numpy()
        return pixels[:height, :width]


def _use_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _device(device: str) -> str:
    import torch

    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
