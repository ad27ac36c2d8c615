"""The build backend: setuptools', with the packages found in the tree instead of listed by hand.

The folders `codec`, `kernels` and `bench` are the packages `aecodec`, `aecodec.kernels` and `aecodec.bench`, and every
folder below them that has an `__init__.py` is a package. setuptools can find packages or rename them, but not both.
"""

import functools
from pathlib import Path

import setuptools
from setuptools.build_meta import *  # noqa: F403 (the hooks of PEP 517 and PEP 660)

FOLDERS = {"codec": "aecodec", "kernels": "aecodec.kernels", "bench": "aecodec.bench"}


def packages(root: Path) -> list[str]:
    """The names of all packages below `root`."""
    found = []
    for folder, name in FOLDERS.items():
        for init in sorted((root / folder).rglob("__init__.py")):
            found.append(".".join([name, *init.parent.relative_to(root / folder).parts]))
    return found


setuptools.setup = functools.partial(
    setuptools.setup, packages=packages(Path(__file__).parent.parent), package_dir={v: k for k, v in FOLDERS.items()})
