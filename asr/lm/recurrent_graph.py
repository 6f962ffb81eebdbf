"""Recurrent language models as ONNX graphs: what ONNX Runtime computes, without PyTorch.

`state_graph` moves states on by words; `output_graph` gives the log-probabilities of the next word after some outputs.
They are two because rescoring moves on word by word, but can compute all output layers at once. With int8 weights, as
the files have them, the inputs of the matrices are rounded too, which is faster; of the recurrent layers, only LSTMs
have such an operator.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from asr.lm.config import Kind
from asr.model.onnx_graph import GATES, MICROSOFT, GraphBuilder
from asr.model.quantization import rounded_rows

CELLS = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}


def state_graph(kind: Kind, weights: Mapping[str, np.ndarray], int8: bool) -> onnx.ModelProto:
    """`words` `(span, lanes)` int64 and `state` `(parts, layers, lanes, units)` -> `outputs` `(span, lanes, size)` and
    `next_state`; size is that of a word vector."""
    own = {name: array for name, array in weights.items() if name != "bias"}
    graph = GraphBuilder(own, int8)
    words, size = graph.shape("embedding.weight")
    units = graph.shape("recurrent.weight_hh_l0")[1]
    layers = sum(name.startswith("recurrent.weight_hh") for name in own)
    parts = 2 if kind == "lstm" else 1
    x = _word_vectors(graph, graph.array("embedding.weight", words, size))
    last: list[list[str]] = [[] for _ in range(parts)]
    for layer in range(layers):
        x, *ends = _layer(graph, kind, layer, x, units if layer else size, units, parts)
        for part, end in zip(last, ends, strict=True):
            part.append(graph.op("Unsqueeze", end, graph.constant([0])))
    joined = [graph.op("Concat", *part, axis=1) for part in last]
    graph.op("Concat", *joined, axis=0, output="next_state")
    if "projection.weight" in own:
        x = graph.op("MatMul", x, graph.constant(graph.array("projection.weight", size, units).T))
    graph.op("Identity", x, output="outputs")
    state = (parts, layers, "lanes", units)
    return graph.finish(
        "recurrent language model",
        [("words", TensorProto.INT64, ("span", "lanes")), ("state", TensorProto.FLOAT, state)],
        [("outputs", TensorProto.FLOAT, ("span", "lanes", size)), ("next_state", TensorProto.FLOAT, state)],
    )


def output_graph(weights: Mapping[str, np.ndarray], int8: bool) -> onnx.ModelProto:
    """`outputs` `(rows, size of a word vector)` -> `log_probabilities` `(rows, words)`."""
    graph = GraphBuilder({name: weights[name] for name in ("embedding.weight", "bias") if name in weights}, int8)
    words, size = graph.shape("embedding.weight")
    matrix, bias = graph.array("embedding.weight", words, size), graph.weight("bias", words)
    if int8:
        logits = graph.op("DynamicQuantizeMatMul", "outputs", *graph.int8_matrices(matrix), bias, domain=MICROSOFT)
    else:
        logits = graph.op("Add", graph.op("MatMul", "outputs", graph.constant(matrix.T)), bias)
    graph.op("LogSoftmax", logits, axis=-1, output="log_probabilities")
    return graph.finish(
        "output layer",
        [("outputs", TensorProto.FLOAT, ("rows", size))],
        [("log_probabilities", TensorProto.FLOAT, ("rows", words))],
    )


def _word_vectors(graph: GraphBuilder, matrix: np.ndarray) -> str:
    """The rows of `words`."""
    if not graph.int8:
        return graph.op("Gather", graph.constant(matrix), "words")
    rounded, scales = rounded_rows(matrix)
    rows = graph.op("Cast", graph.op("Gather", graph.constant(rounded), "words"), to=TensorProto.FLOAT)
    return graph.op("Mul", rows, graph.op("Gather", graph.constant(scales[:, None]), "words"))


def _layer(graph: GraphBuilder, kind: Kind, layer: int, x: str, inputs: int, units: int, parts: int) -> Sequence[str]:
    """A recurrent layer: outputs `(span, lanes, units)`, and each part of the state after the last word."""
    order = GATES[CELLS[kind]]
    rows = len(order) * units

    def gates(name: str, *columns: int) -> np.ndarray:
        array = graph.array(f"recurrent.{name}_l{layer}", rows, *columns)
        return np.concatenate([np.split(array, len(order))[gate] for gate in order])

    matrices = [gates("weight_ih", inputs)[None], gates("weight_hh", units)[None]]
    bias = graph.constant(np.concatenate([gates("bias_ih"), gates("bias_hh")])[None])
    first = []
    for part in range(parts):
        of_part = graph.op("Gather", "state", graph.constant(part), axis=0)
        first.append(graph.op("Gather", of_part, graph.constant([layer]), axis=0))
    options: dict[str, Any] = {"hidden_size": units, "outputs": 1 + parts}
    if graph.int8 and kind == "lstm":
        (w, *w_scale), (r, *r_scale) = map(graph.int8_matrices, matrices)
        arguments = (x, w, r, bias, "", *first, "", *w_scale, *r_scale)
        y = graph.op("DynamicQuantizeLSTM", *arguments, domain=MICROSOFT, **options)
    else:
        options |= {"linear_before_reset": 1} if kind == "gru" else {}
        y = graph.op(CELLS[kind], x, *map(graph.constant, matrices), bias, "", *first, **options)
    # y: (span, directions, lanes, units)
    return [graph.op("Squeeze", y, graph.constant([1])), *(f"{y}_{part + 1}" for part in range(parts))]
