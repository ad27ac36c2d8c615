"""Export of the network as ONNX graphs without weights: needs torch and onnx, as training does."""

from __future__ import annotations

import hashlib
import json
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from .. import models
from ..network.model import ModelConfig, ShippedNetwork
from .onnx_graph import MANIFEST, graph_file
from .onnx_parts import Graph, graphs

OPSET = 20
PREFIX = "graph."  # of a tensor's name in `_Traced`


class _Traced(nn.Module):
    """A graph with its inputs and outputs in a row, as the exporter takes them."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.names = list(graph.all_inputs())
        self.made: list[str] = []

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        made: dict[str, Tensor] = {}
        self.graph.run(dict(zip(self.names, inputs, strict=True)), made)
        self.made = list(made)
        return tuple(made.values())


def _copysign(g: Any, magnitude: Any, sign: Any) -> Any:
    """`copysign` of a magnitude that is zero where the sign is: ONNX has no operator for it."""
    return g.op("Mul", magnitude, g.op("Sign", sign))


def _trace(graph: Graph) -> onnx.ModelProto:
    traced, inputs = _Traced(graph), graph.all_inputs()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer: that Python's own numbers become constants is meant
        traced(*(tensor for tensor, _ in inputs.values()))
        buffer = BytesIO()
        torch.onnx.register_custom_op_symbolic("aten::copysign", _copysign, OPSET)
        try:
            torch.onnx.export(
                traced, tuple(tensor for tensor, _ in inputs.values()), buffer,  # type: ignore[arg-type]
                input_names=list(inputs), output_names=traced.made, opset_version=OPSET, dynamo=False,
                dynamic_axes={name: axes for name, (_, axes) in inputs.items()}, do_constant_folding=False)
        finally:
            torch.onnx.unregister_custom_op_symbolic("aten::copysign", OPSET)
    return onnx.load_from_string(buffer.getvalue())


def _fold_views(graph: onnx.GraphProto) -> None:
    """Let the declared shape of a tensor be the one that the graph sees it in."""
    weights = {i.name: i for i in graph.initializer}
    constants = {n.output[0]: numpy_helper.to_array(n.attribute[0].t) for n in graph.node if n.op_type == "Constant"}
    instead: dict[str, str] = {}
    for node in list(graph.node):
        if node.op_type == "Reshape" and node.input[0] in weights and node.input[1] in constants:
            weight = weights[node.input[0]]
            shape = np.empty(tuple(weight.dims), np.bool_).reshape(constants[node.input[1]]).shape
            del weight.dims[:]
            weight.dims.extend(shape)
            instead[node.output[0]] = node.input[0]
            graph.node.remove(node)
    for node in graph.node:
        node.input[:] = [instead.get(name, name) for name in node.input]
    used = {name for node in graph.node for name in node.input}
    for node in [n for n in graph.node if n.op_type == "Constant" and n.output[0] not in used]:
        graph.node.remove(node)


def _take_out_weights(graph: onnx.GraphProto, known: set[str]) -> dict[str, Any]:
    """Leave of the network's tensors what a graph needs to find them: name, type and shape, which are returned."""
    tensors = {}
    for tensor in graph.initializer:
        name = tensor.name.removeprefix(PREFIX)
        if name not in known:
            continue  # a small table of the graph's own
        tensors[name] = [np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)).name, *tensor.dims]
        for field in ("raw_data", "float_data", "int32_data", "int64_data"):
            tensor.ClearField(field)
        tensor.name = name
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=models.WEIGHTS_FILE)
    for node in graph.node:
        node.input[:] = [name.removeprefix(PREFIX) for name in node.input]
        node.ClearField("doc_string")
    return tensors


def _distinct(network: ShippedNetwork) -> ShippedNetwork:
    """Give every tensor values of its own: the exporter makes one of those that are equal."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    for layer in network.scale_decoder.layers:
        layer.weight.random_(-100, 100)
        layer.bias.random_(-100, 100)
        layer.shift.random_(0, 16)
    return network


def export_graphs(config: dict[str, Any], folder: Path) -> None:
    """Write the graphs of a model, and the manifest that says what they are for, beside its weights.

    They depend on the sizes of the model, but not on its weights.

    Args:
        config: of the weights file.
        folder: the one that it lies in.
    """
    network = _distinct(ShippedNetwork(ModelConfig.from_dict(config)).eval())
    known = set(network.state_dict())
    manifest: dict[str, Any] = {"config": config, "graphs": {}}
    for name, graph in graphs(network).items():
        model = _trace(graph.eval())
        _fold_views(model.graph)
        tensors = _take_out_weights(model.graph, known)
        data = model.SerializeToString(deterministic=True)
        graph_file(folder, name).write_bytes(data)
        states = {key: [tensor.shape[1], tensor.shape[2], times] for key, (tensor, times) in graph.states().items()}
        manifest["graphs"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "tensors": tensors,
                                    "vectors": list(graph.level_vectors()), "conditioned": graph.conditioned(),
                                    "states": states, "least_rows": graph.least_rows()}
    (folder / MANIFEST).write_text(json.dumps(manifest))
