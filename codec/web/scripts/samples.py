"""Draw the demo's three pictures and code them: as .aec, and as JPEG and AVIF of the same size in bytes.

    python scripts/samples.py FOLDER [WIDTH]

Nothing here is a photograph: the scenes are computed, with the fine grain that photographs have. FOLDER gets for each
of them `NAME.aec`, `NAME.jpg`, `NAME.avif` a small `NAME.webp` to choose it by, and `samples.json` lists them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH = 960  # by default; two thirds of it high
OVERSAMPLED = 2  # each way, then averaged: edges as a lens draws them
THUMBNAIL = (180, 120)
#: Formats to compare with, by their endings: Pillow's name and its options.
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "jpg": ("JPEG", {"optimize": True, "progressive": True}),
    "avif": ("AVIF", {"speed": 6, "subsampling": "4:2:0"}),
}
Array = np.ndarray


def main() -> None:
    import aecodec

    folder = Path(sys.argv[1])
    width = int(sys.argv[2]) if len(sys.argv) > 2 else WIDTH
    height = width * 2 // 3
    folder.mkdir(parents=True, exist_ok=True)
    codec, listed = aecodec.Codec(device="cpu"), []
    for name, (title, draw, quality) in SCENES.items():
        picture = developed(draw(width * OVERSAMPLED, height * OVERSAMPLED), name)
        data = codec.encode(picture, quality=quality)
        (folder / f"{name}.aec").write_bytes(data)
        for ending, (form, options) in OTHERS.items():
            (folder / f"{name}.{ending}").write_bytes(as_large_as(len(data), picture, form, options))
        picture.resize(THUMBNAIL, Image.Resampling.LANCZOS).save(folder / f"{name}.webp", quality=70)
        sizes = {ending: (folder / f"{name}.{ending}").stat().st_size for ending in ("aec", *OTHERS)}
        listed.append({"name": name, "title": title, "width": width, "height": height, "bytes": sizes})
    (folder / "samples.json").write_text(json.dumps(listed))


def as_large_as(size: int, picture: Image.Image, form: str, options: dict[str, Any]) -> bytes:
    """The picture in another format at the lowest quality that takes no fewer bytes."""
    low, high = 1, 95
    while low < high:
        quality = (low + high) // 2
        low, high = (low, quality) if len(saved(picture, form, quality, options)) >= size else (quality + 1, high)
    return saved(picture, form, low, options)


def saved(picture: Image.Image, form: str, quality: int, options: dict[str, Any]) -> bytes:
    out = BytesIO()
    picture.save(out, form, quality=quality, **options)
    return out.getvalue()


def developed(light: Array, name: str) -> Image.Image:
    """Linear light `[2 H, 2 W, 3]` as a picture: averaged, with a sensor's grain, a film's shoulder, in sRGB."""
    height, width = light.shape[0] // OVERSAMPLED, light.shape[1] // OVERSAMPLED
    light = light.reshape(height, OVERSAMPLED, width, OVERSAMPLED, 3).mean(axis=(1, 3))
    grain = np.random.default_rng(sum(name.encode())).normal(0, 1, light.shape[:2])[..., None]
    light = np.maximum(light + grain * 0.006 * np.sqrt(np.maximum(light, 0.002)), 0)
    light = light * (1 + light / 4) / (1 + light)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-6) ** (1 / 2.4) - 0.055)
    return Image.fromarray(np.clip(np.round(255 * encoded), 0, 255).astype(np.uint8))


# -- noise ------------------------------------------------------------------------------------------------------------


def noise(x: Array, y: Array, seed: int) -> Array:
    """Smooth noise of wavelength 1, within 0..1 (value noise with quintic interpolation)."""
    lattice = np.random.default_rng(seed).random((256, 256)).astype(np.float32)
    column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    u, v = (x - column).astype(np.float32), (y - row).astype(np.float32)
    u, v = u * u * u * (u * (u * 6 - 15) + 10), v * v * v * (v * (v * 6 - 15) + 10)
    corner = [[lattice[(row + i) & 255, (column + j) & 255] for j in (0, 1)] for i in (0, 1)]
    top = corner[0][0] + (corner[0][1] - corner[0][0]) * u
    return top + (corner[1][0] + (corner[1][1] - corner[1][0]) * u - top) * v


def fractal(x: Array, y: Array, seed: int, octaves: int = 6, gain: float = 0.5, ridged: bool = False) -> Array:
    """Octaves of noise, within 0..1; ridged, it has the sharp crests of mountains."""
    total, weight, sum_of_weights = np.zeros(np.broadcast(x, y).shape, np.float32), 1.0, 0.0
    for octave in range(octaves):
        value = noise(x * 2**octave + 17.3 * octave, y * 2**octave - 9.1 * octave, seed + octave)
        total += weight * ((1 - np.abs(2 * value - 1)) ** 2 if ridged else value)
        sum_of_weights += weight
        weight *= gain
    return total / sum_of_weights


def mix(a: Array, b: Array, share: Array) -> Array:
    """`a` to `b` as `share` goes from 0 to 1."""
    return a + (b - a) * np.clip(share, 0, 1)[..., None]


def smooth(low: float, high: float, x: Array) -> Array:
    """0 below `low`, 1 above `high`, and smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def colour(*rgb: float) -> Array:
    return np.array(rgb, np.float32)


# -- scenes -----------------------------------------------------------------------------------------------------------


def lake(width: int, height: int) -> Array:
    """Ranges of mountains at dusk over a lake that mirrors them."""
    x = np.linspace(0, 1.5, width, dtype=np.float32)[None, :]
    shore = int(height * 0.62)
    y = np.linspace(0, 0.62, shore, dtype=np.float32)[:, None]
    above = _sky(x, y)
    for n, distance in enumerate((1.0, 0.78, 0.52, 0.28)):
        crest = 0.42 + 0.045 * n - (0.52 - 0.08 * n) * (
            fractal(x * (1.5 + 0.8 * n) + 3.7 * n, x * 0 + n, 31 + 7 * n, 9, 0.46, ridged=True) - 0.30)
        depth = y - crest
        rock = fractal(x * 22 + 5 * n, (y * 30 - crest * 14), 90 + n, 5, 0.6, ridged=True)
        lit = fractal(x * 9 + 0.35 * depth * 40, depth * 16, 60 + n, 6, 0.62)
        snow = smooth(0.50, 0.62, lit + 0.35 * smooth(0.12, 0.0, depth) * (n < 3)) * smooth(0.16 - 0.03 * n, 0.0, depth)
        stone = mix(colour(0.05, 0.055, 0.085), colour(0.20, 0.15, 0.15), rock * lit * 1.6)
        surface = mix(stone, colour(0.85, 0.58, 0.52), snow * (0.35 + 0.75 * lit))
        haze = mix(colour(0.42, 0.25, 0.27), colour(0.80, 0.42, 0.25), smooth(0.95, 0.35, np.abs(x - 1.02) + 0 * y))
        veil = np.full_like(lit, 0.50 * distance**1.5) + 0.45 * smooth(0.02, 0.25, depth) * distance
        surface = mix(surface, haze, veil)
        above = mix(above, surface, smooth(-0.0006, 0.0006, depth))
    above = _trees(above, x, y)
    return np.concatenate([above, _water(above, height - shore, x)])


def _sky(x: Array, y: Array) -> Array:
    sky = mix(colour(0.045, 0.075, 0.19), colour(0.80, 0.36, 0.20), (y / 0.5) ** 1.5 + 0 * x)
    sun = np.hypot(x - 1.02, (y - 0.36) * 1.3)
    near, at = np.exp(-sun * 5)[..., None], np.exp(-sun * 28)[..., None]
    sky = sky + colour(1.1, 0.5, 0.2) * near + colour(2.2, 1.5, 0.8) * at
    cloud = fractal(x * 2.2 + y, y * 9 + 0.3 * x, 5, 7, 0.55)
    streak = smooth(0.50, 0.72, cloud) * smooth(0.42, 0.15, y)
    return mix(sky, colour(0.95, 0.42, 0.33) + colour(0.5, 0.25, 0.05) * np.exp(-sun * 3)[..., None], 0.75 * streak)


def _trees(above: Array, x: Array, y: Array) -> Array:
    """A dark wood along the shore: two rows of firs."""
    for row, (size, base) in enumerate(((0.030, 0.575), (0.050, 0.60))):
        spacing = size * 0.42
        cell = np.floor(x / spacing)
        top = np.full_like(x, 1.0)
        for shift in (-1, 0, 1):
            tree = cell + shift
            jitter = np.modf(np.sin(tree * 12.9898 + 78.233 * row) * 43758.547)[0]
            tall = size * (0.75 + 0.55 * np.abs(jitter)) * (0.7 + 0.6 * noise(tree * 0.13, tree * 0, 77 + row))
            across = np.abs(x - (tree + 0.5 + 0.35 * jitter) * spacing)
            ragged = 0.004 * noise(x * 900, x * 0 + row, 7) + across * (3.4 + 0.8 * np.abs(jitter))
            top = np.minimum(top, base - tall + ragged)
        ground = base + 0.012 * fractal(x * 3, x * 0, 12 + row, 4)
        inside = smooth(-0.0008, 0.0008, y - np.minimum(top, ground))
        needle = noise(x * 420, y * 300, 3 + row)
        dark = mix(colour(0.006, 0.010, 0.014), colour(0.030, 0.034, 0.026), needle * (0.9 - 0.4 * row))
        above = mix(above, dark, inside)
    return above


def _water(above: Array, rows: int, x: Array) -> Array:
    shore, width = above.shape[:2]
    depth = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    ripple = fractal(x * 26, 3 + 90 * depth**0.45, 8, 4, 0.55) - 0.5
    offset = ripple * (0.01 + 0.16 * depth)
    source = np.clip(shore - 1 - (depth * rows * 1.25 + offset * shore).astype(np.int64), 0, shore - 1)
    across = np.clip(np.arange(width)[None, :] + (ripple * 26 * depth).astype(np.int64), 0, width - 1)
    mirrored = above[source, across]
    tint = mix(mirrored * 0.80, colour(0.02, 0.05, 0.085), 0.10 + 0.45 * depth + 0 * x)
    glint = smooth(0.30, 0.42, ripple + 0.12 * (1 - depth)) * np.exp(-np.abs(x - 1.02) * 5)
    return tint + colour(0.8, 0.42, 0.2) * (0.5 * glint)[..., None]


def marbles(width: int, height: int) -> Array:
    """Glazed spheres on a wooden table in the light of a window, by ray casting."""
    u, v = np.meshgrid(np.linspace(-1.5, 1.5, width, dtype=np.float32), np.linspace(1, -1, height, dtype=np.float32))
    ray = np.stack([u * 0.40, v * 0.40 - 0.42, np.full_like(u, 1.25)], axis=-1)
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    eye = colour(0.0, 2.75, -6.6)
    return _shade(np.broadcast_to(eye, ray.shape), ray, bounces=2)


SPHERES = [  # x, z, radius, seed, first and second colour, gloss
    (-1.25, 0.55, 0.85, 1, (0.02, 0.12, 0.32), (0.75, 0.80, 0.78), 0.9),
    (0.72, 0.95, 1.0, 2, (0.45, 0.06, 0.03), (0.90, 0.55, 0.16), 0.7),
    (0.05, -0.95, 0.52, 3, (0.03, 0.22, 0.13), (0.55, 0.68, 0.25), 0.8),
    (1.75, -0.35, 0.60, 4, (0.60, 0.58, 0.52), (0.10, 0.09, 0.10), 0.6),
    (-2.30, -0.75, 0.42, 5, (0.60, 0.30, 0.04), (0.92, 0.74, 0.40), 0.8),
    (-0.62, -1.75, 0.26, 6, (0.28, 0.02, 0.10), (0.85, 0.42, 0.50), 0.9),
    (2.75, 1.9, 0.75, 7, (0.05, 0.30, 0.36), (0.80, 0.86, 0.82), 0.8),
]
SUN = colour(-0.62, 0.70, -0.36) / np.float32(np.linalg.norm((-0.62, 0.70, -0.36)))


def _hit(origin: Array, ray: Array) -> tuple[Array, Array]:
    """The nearest sphere (-1: none) and its distance."""
    best, which = np.full(ray.shape[:-1], 1e9, np.float32), np.full(ray.shape[:-1], -1)
    for n, (x, z, radius, *_) in enumerate(SPHERES):
        offset = origin - colour(x, radius, z)
        b = (offset * ray).sum(-1)
        root = b * b - (offset * offset).sum(-1) + radius * radius
        t = -b - np.sqrt(np.maximum(root, 0))
        nearer = (root > 0) & (t > 1e-3) & (t < best)
        best, which = np.where(nearer, t, best), np.where(nearer, n, which)
    return which, best


def _shade(origin: Array, ray: Array, bounces: int) -> Array:
    which, distance = _hit(origin, ray)
    floor = -origin[..., 1] / np.where(ray[..., 1] < -1e-4, ray[..., 1], -1e-4)
    on_floor = (ray[..., 1] < -1e-4) & (floor < distance)
    out = _room(ray)
    point = origin + ray * np.minimum(floor, 60.0)[..., None]
    table, gloss = _wood(point)
    lit = table * _light(point, np.broadcast_to(colour(0, 1, 0), point.shape))
    if bounces:
        mirrored = ray * colour(1, -1, 1)
        fresnel = 0.03 + 0.55 * (1 - np.abs(ray[..., 1])) ** 5
        lit = lit + (fresnel * gloss)[..., None] * _shade(point + colour(0, 1e-3, 0), mirrored, 0)
    out = mix(out, mix(lit, out, smooth(7, 22, floor)), on_floor.astype(np.float32))
    for n, (x, z, radius, seed, first, second, gloss_of) in enumerate(SPHERES):
        own = (which == n) & ~on_floor
        if not own.any():
            continue
        at = (origin + ray * distance[..., None])[own]
        normal = (at - colour(x, radius, z)) / radius
        base = _glaze(normal, seed, colour(*first), colour(*second))
        value = base * _light(at, normal)
        facing = -(ray[own] * normal).sum(-1)
        bounced = ray[own] + 2 * facing[..., None] * normal
        if bounces:
            fresnel = gloss_of * (0.04 + 0.9 * np.clip(1 - facing, 0, 1) ** 5)
            value = value + fresnel[..., None] * _shade(at + normal * 1e-3, bounced, bounces - 1)
        value = value + 3.0 * gloss_of * (np.clip((bounced * SUN).sum(-1), 0, 1) ** 400)[..., None]
        out[own] = value
    return out


def _room(ray: Array) -> Array:
    """What is around: a dim wall, and a bright window of four panes behind the viewer."""
    room = mix(colour(0.035, 0.032, 0.04), colour(0.20, 0.15, 0.12), 0.5 + 1.4 * ray[..., 1])
    back = np.maximum(-ray[..., 2], 1e-3)
    across, up = np.abs(np.abs(ray[..., 0] / back + 1.2) - 0.42), np.abs(np.abs(ray[..., 1] / back - 1.25) - 0.42)
    pane = (across < 0.38) & (up < 0.38) & (ray[..., 2] < 0)
    return room + colour(4.0, 3.9, 3.6) * pane[..., None]


def _wood(point: Array) -> tuple[Array, Array]:
    x, z = point[..., 0], point[..., 2]
    plank = np.floor(z / 0.9)
    across = z / 0.9 - plank
    shift = plank * 13.7
    bent = z * 2.2 + 0.9 * fractal(x * 0.35 + shift, z * 0.9, 41, 4)
    ring = 0.5 + 0.5 * np.sin(34 * bent + 5 * fractal(x * 0.5 + shift, z * 3, 42, 4))
    fibre = fractal(x * 3 + shift, z * 90, 43, 4, 0.7)
    tone = mix(colour(0.16, 0.070, 0.028), colour(0.42, 0.22, 0.10), 0.25 + 0.35 * ring + 0.7 * (fibre - 0.4))
    tone = tone * (0.8 + 0.4 * noise(plank * 0.37, plank * 0, 44))[..., None]
    seam = smooth(0.0, 0.012, np.minimum(across, 1 - across))
    return tone * (0.25 + 0.75 * seam)[..., None], (0.35 + 0.65 * fibre) * seam


def _glaze(normal: Array, seed: int, first: Array, second: Array) -> Array:
    turned = np.arctan2(normal[..., 2], normal[..., 0]) + seed
    up = normal[..., 1]
    swirl = fractal(turned * 1.2 + up, up * 2.4 + 0.4 * seed, 200 + seed, 6, 0.55)
    vein = fractal(turned * 2 + 3 * swirl, up * 5 + 2 * swirl, 300 + seed, 6, 0.6, ridged=True)
    speck = smooth(0.80, 0.86, noise(turned * 42, up * 60, 400 + seed))
    return mix(mix(first, second, smooth(0.36, 0.70, swirl) + 0.35 * vein - 0.1), first * 0.25, 0.8 * speck)


def _light(point: Array, normal: Array) -> Array:
    """Sun with a soft shadow, sky, and less of it close to other things."""
    sun = np.clip((normal * SUN).sum(-1), 0, 1)
    open_sky = 0.5 + 0.5 * normal[..., 1]
    for x, z, radius, *_ in SPHERES:
        to = colour(x, radius, z) - point
        along = (to * SUN).sum(-1)
        apart = np.sqrt(np.maximum((to * to).sum(-1) - along**2, 0))
        reach = np.sqrt((to * to).sum(-1))
        soft = 0.02 + 0.10 * np.clip(along, 0, 6)
        other = reach > radius * 1.002  # not the sphere that the point lies on
        sun = sun * np.where((along > 0) & other, smooth(0, 1, (apart - radius) / (2 * soft) + 0.5), 1)
        toward = np.clip((to * normal).sum(-1) / np.maximum(reach, 1e-3), 0, 1)
        open_sky = open_sky * (1 - 0.9 * toward * (radius / np.maximum(reach, radius)) ** 2 * other)
    return sun[..., None] * colour(2.6, 2.3, 1.9) + open_sky[..., None] * colour(0.34, 0.38, 0.46)


def island(width: int, height: int) -> Array:
    """A coast from the air: surf, beaches, woods, fields and bare peaks under a low sun."""
    x, y = np.meshgrid(np.linspace(0, 3.0, width, dtype=np.float32), np.linspace(0, 2.0, height, dtype=np.float32))
    warp = fractal(x * 1.3 + 5, y * 1.3, 21, 5)
    ground = fractal(x * 1.1 + 0.5 * warp + 2.2, y * 1.1 + 0.5 * warp + 8.3, 22, 10, 0.5)
    ground = ground + 0.30 * fractal(x * 1.6 + 9, y * 1.6, 23, 9, 0.5, ridged=True) * smooth(0.48, 0.70, ground)
    ground = ground - 0.14 * smooth(0.6, 1.7, np.hypot((x - 1.5) / 1.25, y - 1.0)) + 0.03
    level = 0.505
    land = ground - level
    down, right = np.gradient(ground * 260 * width / 1920)
    slope = np.hypot(down, right)
    sun = np.clip(1.0 - 0.95 * (0.8 * right + 0.6 * down) / np.sqrt(1 + slope**2), 0.12, 2.2)
    fine, coarse = fractal(x * 60, y * 60, 24, 4, 0.6), fractal(x * 5, y * 5, 25, 5)
    crowns = noise(x * 190, y * 190, 26) * noise(x * 230 + 3, y * 230, 27)
    wood = mix(colour(0.018, 0.050, 0.018), colour(0.075, 0.115, 0.030), crowns * 1.7 + 0.3 * (coarse - 0.4))
    meadow = mix(colour(0.13, 0.16, 0.045), colour(0.30, 0.25, 0.10), fine * 0.6 + coarse * 0.6)
    rock = mix(colour(0.12, 0.10, 0.09), colour(0.34, 0.30, 0.27), fractal(x * 32, y * 32, 28, 5, 0.6, ridged=True))
    out = mix(meadow, wood, smooth(0.47, 0.53, coarse + 0.15 * fine))
    out = mix(out, rock, smooth(0.10, 0.20, land + 0.05 * (fine - 0.5) + 0.03 * slope))
    out = mix(out, colour(0.95, 0.97, 1.0), smooth(0.245, 0.27, land + 0.05 * (fine - 0.5) - 0.012 * slope))
    beach = mix(colour(0.62, 0.52, 0.36), colour(0.50, 0.40, 0.26), fine)
    out = mix(beach, out, smooth(0.008, 0.018, land + 0.012 * (coarse - 0.5)))
    out = out * (sun[..., None] * colour(1.35, 1.18, 0.98) * 1.25 + colour(0.10, 0.14, 0.22))
    swell = fractal(x * 46 + 12 * warp, y * 70, 29, 4, 0.6) - 0.5
    sea = mix(colour(0.008, 0.055, 0.115), colour(0.05, 0.34, 0.36), smooth(-0.10, 0.0, land + 0.02 * (coarse - 0.5)))
    sea = sea * (1 + 0.55 * swell)[..., None] + colour(0.05, 0.06, 0.07) * smooth(0.10, 0.22, swell)[..., None]
    surf = 0.55 * np.exp(-((land + 0.006) / 0.006) ** 2)
    foam = smooth(0.55, 0.80, fractal(x * 34, y * 34, 30, 5, 0.65) + surf - 0.2)
    sea = mix(sea, colour(0.95, 0.97, 0.97), foam * smooth(-0.035, -0.004, land))
    out = mix(sea, out, smooth(-0.0015, 0.0015, land))
    cloud = fractal(x * 1.7 + 4, y * 2.1 + 1, 51, 8, 0.55)
    shadow = fractal((x + 0.10) * 1.7 + 4, (y + 0.13) * 2.1 + 1, 51, 8, 0.55)
    out = out * (1 - 0.45 * smooth(0.62, 0.72, shadow))[..., None]
    return mix(out, colour(0.95, 0.96, 1.0) * 1.3, 0.9 * smooth(0.63, 0.76, cloud))


Scene = tuple[str, Callable[[int, int], Array], float]
SCENES: dict[str, Scene] = {
    "lake": ("Lake at dusk", lake, 45),
    "marbles": ("Glazed spheres", marbles, 35),
    "island": ("Coast from the air", island, 30),
}

if __name__ == "__main__":
    main()
