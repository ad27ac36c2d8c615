"""What kind of file it is that Pillow may not read by itself: told by its first bytes and its ending. No Pillow here.

Pillow reads HEIC and JPEG XL through plug-ins, which are registered when the first such file comes.
"""

from __future__ import annotations

import importlib
import re
import sys
from importlib.util import find_spec
from typing import NamedTuple

from ..errors import UnsupportedPicture

HEAD = 4096  # bytes that are enough to tell


class PlugIn(NamedTuple):
    """A plug-in of Pillow."""

    kind: str
    module: str
    package: str
    endings: tuple[str, ...]
    register: str | None = None  # the function that registers it; without one, importing it does


HEIF = PlugIn("HEIC", "pillow_heif", "pillow-heif", (".heic", ".heif", ".hif"), "register_heif_opener")
JXL = PlugIn("JPEG XL", "pillow_jxl", "pillow-jxl-plugin", (".jxl",))
PLUG_INS = (HEIF, JXL)

RAW_ENDINGS = frozenset((".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".k25", ".kdc",
                         ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2",
                         ".srf", ".srw", ".x3f"))
RAW = "a camera's raw file; develop it first, for example with darktable or RawTherapee, and save it as TIFF or PNG"

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_RAW_MAGIC = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_DNG_VERSION = 50706  # a TIFF's tag that makes it a DNG


def plug_in_for(head: bytes) -> PlugIn | None:
    """The plug-in that a file with these first bytes needs, if any."""
    if head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")):
        return JXL
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS and b"avif" not in head[8:64]:
        return HEIF
    return None


def register(plug_in: PlugIn) -> None:
    """Make Pillow know what the plug-in reads and writes.

    Raises:
        UnsupportedPicture: it is not installed; the message says how to install it.
    """
    try:
        module = importlib.import_module(plug_in.module)
    except ImportError:
        raise UnsupportedPicture(f"{plug_in.kind} needs a plug-in of Pillow; install it with: "
                                 f"{_python()} -m pip install {plug_in.package}") from None
    if plug_in.register is not None:
        getattr(module, plug_in.register)()


def installed(plug_in: PlugIn) -> bool:
    """Whether the plug-in can be registered, as far as can be told without importing it."""
    return plug_in.module in sys.modules or find_spec(plug_in.module) is not None


def _python() -> str:
    return "python" if sys.platform == "win32" else "python3"


def refusal(head: bytes, ending: str = "") -> str | None:
    """Why a file is no picture to code, and what to do; None if Pillow may try.

    Args:
        head: its first `HEAD` bytes.
        ending: of its name, in lower case; empty if it has none.
    """
    if not head:
        return "the file is empty (0 bytes); get a complete copy of it"
    if _is_raw(head, ending):
        return f"this is {RAW}"
    if head.startswith(b"%PDF"):
        return "a PDF is a document, not a picture of pixels; render its pages first, for example with pdftoppm -png"
    if ending in (".svg", ".svgz") or re.match(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*|<!DOCTYPE[^>]*>\s*)*<svg\b", head,
                                               re.DOTALL):
        return "an SVG is a drawing, not a picture of pixels; render it first, for example with rsvg-convert"
    if head[4:8] == b"ftyp" and head[8:12] not in (*_HEIF_BRANDS, b"avif", b"avis"):
        return "this is a video, not a picture; take a frame of it first, for example with ffmpeg"
    if head.startswith((b"\x1aE\xdf\xa3", b"RIFF")) and (head[:1] == b"\x1a" or head[8:11] == b"AVI"):
        return "this is a video, not a picture; take a frame of it first, for example with ffmpeg"
    return None


def _is_raw(head: bytes, ending: str) -> bool:
    if head.startswith(_RAW_MAGIC) or head[8:12] == b"CR\x02\0" or head[4:12] == b"ftypcrx ":
        return True
    return ending in RAW_ENDINGS and (head.startswith(_TIFF) or not _known_picture(head))


def _known_picture(head: bytes) -> bool:
    """Pictures that are read whatever their name says."""
    return head.startswith((b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF"))


def is_dng(tags: object) -> bool:
    """Whether the tags of a TIFF are those of a DNG, a raw file."""
    return isinstance(tags, dict) and _DNG_VERSION in tags


def left_out(ending: str) -> str | None:
    """Why files with this ending are not taken from a folder, for the kinds that are worth a word."""
    if ending in RAW_ENDINGS:
        return "a camera's raw file, which has to be developed first"
    for plug_in in PLUG_INS:
        if ending in plug_in.endings and not installed(plug_in):
            return f"{plug_in.kind}, which needs a plug-in: pip install {plug_in.package}"
    if ending in (".pdf", ".svg", ".svgz", ".eps"):
        return "a document or drawing, not a picture of pixels"
    if ending in (".mp4", ".mov", ".avi", ".mkv", ".m4v", ".webm", ".mts", ".3gp"):
        return "a video"
    return None
