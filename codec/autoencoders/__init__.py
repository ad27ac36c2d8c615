"""scikit-learn estimators that are autoencoders, for tables and small pictures. They need `pip install aecodec[ml]`.

Nothing here knows the codec. What is shared is the training's inner loop (`training/steps.py`).
"""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("sklearn") is None:
    raise ModuleNotFoundError("aecodec.autoencoders needs scikit-learn; install it with: pip install aecodec[ml]",
                              name="sklearn")

from .autoencoder import Autoencoder
from .corruption import Mask, Noise
from .detector import AutoencoderDetector
from .sparsity import L1, TopK
from .variational import VariationalAutoencoder

__all__ = ["L1", "Autoencoder", "AutoencoderDetector", "Mask", "Noise", "TopK", "VariationalAutoencoder"]
