"""scikit-learn estimators that are autoencoders, for tables and small pictures. They need `pip install aecodec[ml]`.

Nothing here knows the codec. What is shared is the training's inner loop (`training/steps.py`).
"""

from __future__ import annotations

import importlib.util

if _missing := [name for name in ("sklearn", "torch") if importlib.util.find_spec(name) is None]:
    raise ModuleNotFoundError(f"aecodec.autoencoders needs {' and '.join(_missing)}; install them with: "
                              "pip install aecodec[ml]", name=_missing[0])

from .autoencoder import Autoencoder
from .corruption import Mask, Noise
from .detector import AutoencoderDetector
from .sparsity import L1, TopK
from .variational import VariationalAutoencoder

__all__ = ["L1", "Autoencoder", "AutoencoderDetector", "Mask", "Noise", "TopK", "VariationalAutoencoder"]
