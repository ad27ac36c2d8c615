"""Rate-distortion and speed of aecodec against other codecs: tables, plots and a page. Needs the extra `bench`.

Importing this package imports nothing else; `aecodec bench` is in `cli.py`.
"""
