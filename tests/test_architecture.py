"""The map of the package is law: which folder may import which, and nothing in a circle."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"codec": "aecodec", "kernels": "aecodec.kernels", "bench": "aecodec.bench"}

#: What the modules of a part may import of the package. The floor, which everybody may import, is not listed.
FLOOR = {"errors", "version", "format.constants"}
ALLOWED = {
    "format": {"format"},
    "picture": {"picture", "format"},
    "metrics": {"metrics"},
    "weights": set(),
    "files": {"files"},
    "models": set(),
    "kernels": {"kernels"},
    "network": {"network", "kernels"},
    "engine": {"engine", "network", "kernels", "models"},
    "coder": {"engine", "format", "models"},
    "search": {"metrics", "picture"},
    "goals": {"search", "picture", "format"},
    "batch": set(),
    "api": {"batch", "goals", "coder", "engine", "format", "picture", "models"},
    "thumbnail": {"api", "coder", "format", "picture"},
    "latents": {"latents", "api", "coder", "engine", "format", "picture", "models", "thumbnail"},
    "jobs": {"jobs", "api", "thumbnail", "goals", "engine", "search", "files", "picture", "format", "metrics",
             "models"},
    "pillow_plugin": {"api", "thumbnail", "goals", "picture", "format"},
    "command": {"command", "jobs", "latents", "goals", "search", "api", "coder", "engine", "format", "picture",
                "models", "metrics", "files", "bench", "training", "autoencoders", "pillow_plugin"},
    "training": {"training", "coder", "engine", "network", "kernels", "format", "picture", "models", "metrics",
                 "files", "thumbnail", "latents"},
    "autoencoders": {"autoencoders", "training"},
    "bench": {"bench", "api", "coder", "engine", "metrics", "picture", "format", "models", "kernels", "latents",
              "autoencoders", "files", "jobs", "training"},
    "__init__": {"api", "coder", "picture", "format", "models", "latents"},
    "__main__": {"command"},
}
#: Packages from outside that a part must not import, wherever the import stands.
FORBIDDEN = {
    "format": {"torch", "PIL", "onnxruntime"},
    "picture": {"torch", "constriction", "onnxruntime"},
    "coder": {"torch", "PIL", "onnxruntime"},
    "network": {"PIL", "constriction", "onnxruntime"},
    "models": {"torch", "PIL"},
    "metrics": {"torch", "PIL"},
}


def modules() -> dict[str, Path]:
    """Every module of the package by its name below `aecodec`; codec/web is a package of its own, for npm."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.is_relative_to(ROOT / "codec" / "web"):
                continue
            parts = [*package.split(".")[1:], *path.relative_to(ROOT / folder).with_suffix("").parts]
            found[".".join(parts)] = path
    return found


MODULES = modules()


def imports(name: str, path: Path, at_start: bool = False) -> Iterator[str]:
    """What a module imports: `aecodec` modules below the package as `.name`, others by their first name.

    `at_start`: only what is imported with the module itself; not in functions, nor for type checkers alone.
    """
    package = name.split(".")[:-1]
    for node in _nodes(ast.parse(path.read_text()), at_start):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _absolute(alias.name, [])
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
            if node.level:
                base = package[:len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
                yield from _absolute(".".join(["aecodec", *base]), names)
            else:
                yield from _absolute(node.module or "", names)


def _nodes(tree: ast.AST, at_start: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        yield node
        skipped = at_start and (isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
                                or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)))
        if not skipped:
            yield from _nodes(node, at_start)


def _absolute(module: str, names: list[str]) -> Iterator[str]:
    first, _, below = module.partition(".")
    if first != "aecodec":
        yield first
        return
    if not names:
        yield f".{below or '__init__'}"
    for name in names:  # a name may be a module or something in one
        inner = f"{below}.{name}" if below else name
        for candidate in (inner, f"{inner}.__init__", below, f"{below}.__init__"):
            if candidate in MODULES:
                yield f".{candidate}"
                break
        else:
            yield ".__init__"


def part_of(module: str) -> str:
    return module.split(".")[0]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_what_its_part_may(name):
    part = part_of(name)
    assert part in ALLOWED or part in FLOOR, f"{name} has no place on the map"
    allowed = ALLOWED.get(part, set())
    for imported in imports(name, MODULES[name]):
        if imported.startswith("."):
            target = imported[1:]
            assert target in FLOOR or target == "__init__" or part_of(target) in allowed, f"{name} imports {target}"
        else:
            assert imported not in FORBIDDEN.get(part, set()), f"{name} imports {imported}"


#: What only some jobs need: imported where it is used, or every install would need it.
ON_DEMAND = {"ray", "fsspec", "s3fs", "pyarrow", "azure"}


@pytest.mark.parametrize("name", [name for name in MODULES if part_of(name) in ("jobs", "command")])
def test_stores_and_clusters_are_imported_on_demand(name):
    assert not ON_DEMAND & set(imports(name, MODULES[name], at_start=True))
    assert part_of(name) == "jobs" or not ON_DEMAND & set(imports(name, MODULES[name]))


def test_no_module_imports_itself_through_others():
    graph = {name: {i[1:] for i in imports(name, path, at_start=True) if i.startswith(".")} - {"__init__", name}
             for name, path in MODULES.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for imported in graph.get(name, ()):
                visit(imported, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_numbers_of_the_format_are_defined_once():
    constants = {node.targets[0].id for node in ast.parse((ROOT / "codec/format/constants.py").read_text()).body
                 if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)}
    assert {"LEVELS", "SYMBOL_MAX", "DEFAULT_QUALITY", "EXPERIMENTAL_ID"} <= constants
    for name, path in MODULES.items():
        if name == "format.constants":
            continue
        again = {target.id for node in ast.parse(path.read_text()).body if isinstance(node, ast.Assign)
                 for target in node.targets if isinstance(target, ast.Name)} & constants
        # A kernel knows nothing of the codec: what it calls STEPS or GROUPS is its own.
        assert not again or part_of(name) in ("kernels", "bench"), f"{name} defines {again} again"


def test_files_are_of_a_size_to_be_read():
    assert sys.version_info >= (3, 10)
    longest = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    too_long = {name: lines for name, lines in longest.items() if lines > 400}
    assert not too_long
