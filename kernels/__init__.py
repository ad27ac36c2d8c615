"""The memory-bound steps of the codec, each as one pass over its tensors: Triton on a CUDA GPU, torch elsewhere.

Every function picks by the device of its first tensor and is a `torch.library` operator, so `torch.compile` and
`torch.export` keep it whole. In its file stand its plain torch reference and its Triton form, with the same signature
and `reference` or `triton` in the name (`quantise` is `quantise_` on copies). Nothing here knows the codec: tensors
in, tensors out.

Shapes: B pictures, M latent channels, h x w latent positions. `channels_last` is the fast layout; any other works.
"""

from .dequantiser import dequantise_
from .gate import gated_activation
from .integer_scales import requantise, table_index
from .pixels import to_pixels
from .quantiser import quantise, quantise_

__all__ = ["dequantise_", "gated_activation", "quantise", "quantise_", "requantise", "table_index", "to_pixels"]
