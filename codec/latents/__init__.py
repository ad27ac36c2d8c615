"""What latents are good for besides compression, on the seam of `aecodec.Codec` (`analyse`, `latents`, `render`)."""
