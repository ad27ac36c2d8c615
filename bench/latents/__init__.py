"""Benchmarks of what `aecodec.latents` does with a codec's latents: one file a table, each with its baselines in the
same run."""
