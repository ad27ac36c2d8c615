"""Benchmarks of the estimators in `aecodec.autoencoders`: one file a table, each with its baselines in the same run."""
