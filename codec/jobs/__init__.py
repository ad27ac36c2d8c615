"""Work on many files, objects and rows."""

from .batches import Decoder, Encoder

__all__ = ["Decoder", "Encoder"]
