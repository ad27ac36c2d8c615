"""A graph of the network on ONNX Runtime, which runs it with the tensors of the model's weights file."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from ..errors import UnknownModel
from ..models import ModelFile

#: Beside the graphs: the `config` of the model they are for, and of each of `graphs` its `sha256`, its `tensors` with
#: their types and shapes, the level `vectors` and blocks that are `conditioned`, and what it takes to go through it in
#: strips: `states` with their channels, their rows at first, and how many columns they have for each in the coarsest
#: layer, of which the first of several strips has `least_rows` at least.
MANIFEST = "graphs.json"
MANY = 8  # strips, from where on memory counts more than a system call
STATE, NEXT = "state.", "next."  # inputs, and the outputs that they become


def graph_file(folder: Path, name: str) -> Path:
    """Where a graph of a model lies."""
    return folder / f"{name}.onnx"


def read_manifest(file: ModelFile) -> dict[str, Any]:
    """The graphs that belong to a model, and what the manifest says of each. Raises UnknownModel."""
    path = file.info.path.parent / MANIFEST
    again = f"make them with `aecodec export {file.info.path.parent} --graphs`, or use the torch engine"
    try:
        manifest = json.loads(path.read_bytes())
        config, found = manifest["config"], manifest["graphs"]
    except FileNotFoundError:
        raise UnknownModel(f"there are no ONNX graphs beside {file.info.path}; {again}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnknownModel(f"{path} cannot be read ({error}); {again}") from None
    if config != file.info.config:
        raise UnknownModel(f"the ONNX graphs beside {file.info.path} are for a model of other sizes; {again}")
    for graph in found.values():
        for name, (_, *shape) in graph["tensors"].items():
            if name not in file.tensors or file.tensors[name].size != int(np.prod(shape)):
                raise UnknownModel(f"the ONNX graphs beside {file.info.path} do not fit its tensor {name}; {again}")
    return found  # type: ignore[no-any-return]


def _giving_back() -> onnxruntime.RunOptions:
    """To run a session so that it gives its memory back afterwards."""
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


class Graph:
    """One graph; its session is made when it is first run. May be used from several threads.

    Args:
        name: of the graph, one of the manifest's.
        about: what the manifest says of it.
        threads: that share the work of one run.
    """

    def __init__(self, file: ModelFile, name: str, about: dict[str, Any], threads: int) -> None:
        self._file, self._name, self._about, self._threads = file, name, about, threads
        self.vectors: list[str] = about["vectors"]
        self.conditioned: list[str] = about["conditioned"]
        self.least_rows: int = about["least_rows"]
        self._lock = threading.Lock()
        self._session: onnxruntime.InferenceSession | None = None
        _graphs.add(self)

    def forget(self) -> None:
        """Make the session anew when it is next needed."""
        self._lock = threading.Lock()
        _forgotten.append(self._session)
        self._session = None

    @property
    def session(self) -> onnxruntime.InferenceSession:
        with self._lock:
            if self._session is None:
                self._session = self._load()
            return self._session

    def _load(self) -> onnxruntime.InferenceSession:
        path = graph_file(self._file.info.path.parent, self._name)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UnknownModel(f"{path} cannot be read ({error.strerror}); install aecodec again") from None
        if hashlib.sha256(data).hexdigest() != self._about["sha256"]:
            raise UnknownModel(f"{path} is damaged, or not the one that {MANIFEST} tells of; install aecodec again")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        # Threads that wait for work by spinning take it from whoever else has some.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Layouts for convolutions alone gain little, for strips go in and out of them, and take longer to load.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        tensors = {name: np.ascontiguousarray(self._file.tensors[name], dtype).reshape(shape)
                   for name, (dtype, *shape) in self._about["tensors"].items()}
        options.add_external_initializers(list(tensors), [onnxruntime.OrtValue.ortvalue_from_numpy(tensor)
                                                          for tensor in tensors.values()])
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def run(self, **given: np.ndarray) -> list[np.ndarray]:
        """The outputs, in their order."""
        return self.session.run(None, given)  # type: ignore[no-any-return]

    def strips(self, name: str, strips: Iterable[np.ndarray], columns: int,
               **given: np.ndarray) -> Iterator[np.ndarray]:
        """What becomes of an input that comes strip by strip: the last output, as soon as it is ready.

        Args:
            name: of that input.
            columns: of the picture in the graph's coarsest layer.
            given: the other inputs.
        """
        outputs = [output.name for output in self.session.get_outputs()]
        states = {key: np.zeros((1, channels, rows, times * columns), np.float32)
                  for key, (channels, rows, times) in self._about["states"].items()}
        strips = iter(strips)
        strip = next(strips, None)
        count = 0
        while strip is not None:
            following, count = next(strips, None), count + 1
            last = np.array(following is None, np.int64)
            # What a session has once taken it keeps, and a large picture needs that room for what comes next.
            options = _giving_back() if following is None and count >= MANY else None
            *held, ready = self.session.run(outputs, {name: strip, "last": last, **states, **given}, options)
            states = {STATE + key.removeprefix(NEXT): value for key, value in zip(outputs, held, strict=False)}
            yield ready
            strip = following


# The threads of a session do not live in a process forked from the one that made it: running it would wait for them for
# ever, and so would its end.
_graphs: weakref.WeakSet[Graph] = weakref.WeakSet()
_forgotten: list[onnxruntime.InferenceSession | None] = []


def _forget_all() -> None:
    for graph in _graphs:
        graph.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
