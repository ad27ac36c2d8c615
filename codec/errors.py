"""What can go wrong with a file or a picture. Every message says what to do next."""

from __future__ import annotations


class AecError(Exception):
    """The base of every error this package raises about files, models and pictures."""


class NotAec(AecError):
    """The bytes are not an .aec file."""


class UnsupportedVersion(AecError):
    """The file needs something this version of aecodec does not have."""


class UnknownModel(AecError):
    """The file was made with a model that is not installed, or with other weights of it."""


class CorruptFile(AecError):
    """The file is damaged, cut short, or does not decode to the symbols that were encoded."""


class LimitExceeded(AecError):
    """The picture is larger than the limit in force."""


class LargePictureWarning(UserWarning):
    """The picture is very large, but below the limit in force."""


class UnsupportedPicture(AecError, ValueError):
    """A picture this version cannot code as it is."""


class MissingPackage(AecError, ImportError):
    """What was asked for needs a package that is not installed; the message says how to get it."""
