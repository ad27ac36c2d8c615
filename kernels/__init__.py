"""The memory-bound steps of the codec, each as one pass over its tensors: Triton on a CUDA GPU, torch elsewhere.

Every function picks by the device of its first tensor and is a `torch.library` operator, so `torch.compile` and
`torch.export` keep it whole. In its file stand its plain torch reference and its Triton form, with the same signature
and `reference` or `triton` in the name. A step of the context exists in parts as well (`quantise_part`,
`dequantise_part`), for who has not all means at once. Nothing here knows the codec: tensors in, tensors out.

Shapes: B pictures, M latent channels, h x w latent positions. `channels_last` is the fast layout; any other works.
"""

from .dequantiser import dequantise_, dequantise_part
from .gate import gated_activation
from .integer_scales import requantise
from .lattice import Part, coded_parts
from .pixels import to_pixels
from .quantiser import quantise_, quantise_part

__all__ = ["Part", "coded_parts", "dequantise_", "dequantise_part", "gated_activation", "quantise_", "quantise_part",
           "requantise", "to_pixels"]
