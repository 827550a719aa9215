"""Round a graph's weights to int8. OpenVINO rounds the inputs of each layer as it computes (dynamic quantization)."""

from __future__ import annotations

import numpy as np
import openvino as ov
import openvino.opset13 as op
from numpy.typing import NDArray

from .layers import Node, constant


def round_weights(graph: ov.Model) -> None:
    """Change the graph in place. Each output of a matrix product gets its own scale: its largest weight / 127.

    Embedding tables and convolutions stay as they are, and so do products of constants alone, such as an attention
    pool's query: OpenVINO computes them once, and cannot with rounded weights.
    """
    computed: set[str] = set()  # the nodes that depend on the graph's inputs
    for node in graph.get_ordered_ops():
        inputs = [value.get_node().get_name() for value in node.input_values()]
        if node.get_type_name() == "Parameter" or not computed.isdisjoint(inputs):
            computed.add(node.get_name())
        if node.get_type_name() != "MatMul" or inputs[0] not in computed:
            continue
        weight = _constant_behind(node.input_value(1))
        if weight is not None and weight.ndim == 2:
            transposed = bool(node.get_attributes()["transpose_b"])
            node.input(1).replace_source_output(_rounded(weight, 1 if transposed else 0).output(0))
    graph.validate_nodes_and_infer_types()


def _rounded(weight: NDArray[np.float32], axis: int) -> Node:
    scale = np.maximum(np.abs(weight).max(axis=axis, keepdims=True), np.finfo(np.float32).tiny) / np.float32(127)
    rounded = np.rint(weight / scale).astype(np.int8)
    return op.multiply(op.convert(op.constant(rounded), "f32"), constant(scale.astype(np.float32)))


def _constant_behind(value: ov.Output) -> NDArray[np.float32] | None:
    """The numbers of a constant, or of one in half precision that the graph widens. None for a computed value."""
    node = value.get_node()
    if node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant":
        return None
    return np.asarray(node.get_data(dtype=np.float32))
