"""The acoustic model as an ONNX graph, built from its weights: what ONNX Runtime computes, without PyTorch.

The graph takes `features` `(batch, frames, mels)` float32 and `lengths` `(batch,)` int64 in frames, and gives
`log_probabilities` `(batch, output frames, tokens + phones)` float32; batch and frames are free. It computes what
`asr.model.acoustic_model.AcousticModel` does: padding never changes a result.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from asr.errors import ModelFileError
from asr.model.config import HEADS, STRIDES, ModelConfig
from asr.model.quantization import rounded_rows

OPSET = 21
IR_VERSION = 10
MICROSOFT = "com.microsoft"  # the domain of ONNX Runtime's own operators
EPSILON = 1e-5  # of layer normalisation, PyTorch's default

Weights = Mapping[str, np.ndarray]
Value = tuple[str, int, tuple[str | int, ...]]  # an input or output: name, type, shape

# Rows of PyTorch's recurrent matrices in ONNX's order of gates: LSTM i f g o -> i o f c, GRU r z n -> z r h.
GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}
CELLS = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM", "bilstm": "LSTM"}


def build_graph(config: ModelConfig, mels: int, weights: Weights, int8: bool = False) -> onnx.ModelProto:
    """The graph of a model with these settings and weights, named as in its model file.

    With `int8`, LSTMs multiply 8-bit weights, each row of a matrix with a scale of its own, by inputs that are rounded
    to 8 bits as they come (dynamic quantisation).

    Raises `ModelFileError` for a weight that is missing or left over, or that has another shape than the settings
    require.
    """
    graph = GraphBuilder(weights, int8)
    x, lengths, size = _subsampling(graph, config, mels)
    inside = graph.inside(x, lengths)
    heads = []
    for index in range(config.layers):
        x, size = _layer(graph, config, index, x, size, lengths, inside)
        if index + 1 == config.phone_layer:
            phones = graph.shape("phone_head.bias")[0]
            logits = graph.linear("phone_head", x, size, phones)
            heads.append(graph.op("LogSoftmax", logits, axis=-1))
            if index + 1 < config.layers:
                shares = graph.op("Softmax", logits, axis=-1)
                x = graph.op("Add", x, graph.linear("phone_feedback", shares, phones, size))
    tokens = graph.linear("head", x, size, graph.shape("head.bias")[0])
    heads.insert(0, graph.op("LogSoftmax", tokens, axis=-1))
    graph.op("Concat", *heads, axis=-1, output="log_probabilities")
    return graph.finish(
        "acoustic model",
        [("features", TensorProto.FLOAT, ("batch", "frames", mels)), ("lengths", TensorProto.INT64, ("batch",))],
        [("log_probabilities", TensorProto.FLOAT, ("batch", "output frames", "labels"))],
    )


class GraphBuilder:
    """Nodes and initialisers of a graph under construction. Values are named; every method returns a name."""

    def __init__(self, weights: Weights, int8: bool):
        self._weights, self.int8 = weights, int8
        self._unused = set(weights)
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}

    def op(self, kind: str, *inputs: str, output: str = "", outputs: int = 1, **attributes) -> str:
        """Add an operator; the name of its first output."""
        names = [output or f"{kind.lower()}_{len(self._nodes)}"]
        names += [f"{names[0]}_{number}" for number in range(1, outputs)]
        self._nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0]

    def constant(self, values: np.ndarray | Sequence[int] | float) -> str:
        """A constant: float32 for real numbers, int64 for whole ones, int8 as it is."""
        array = np.asarray(values)
        if array.dtype != np.int8:
            array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        name = f"constant_{len(self._initializers)}"
        self._initializers[name] = numpy_helper.from_array(array, name)
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a weight whose size the settings leave open."""
        if name not in self._weights or not self._weights[name].shape:
            raise ModelFileError(f"{name}: missing")
        return tuple(self._weights[name].shape)

    def array(self, name: str, *shape: int) -> np.ndarray:
        """A weight as float32; raises `ModelFileError` unless it has this shape."""
        found = tuple(self._weights[name].shape) if name in self._weights else None
        if found != shape:
            raise ModelFileError(f"{name}: the shape is {found}, but the settings require {shape}")
        self._unused.discard(name)
        return np.asarray(self._weights[name], np.float32)

    def weight(self, name: str, *shape: int) -> str:
        """A weight of the model, which must have this shape."""
        return self.constant(self.array(name, *shape))

    def linear(self, name: str, x: str, inputs: int, outputs: int) -> str:
        """A linear map with a bias of the last axis."""
        matrix = self.constant(self.array(f"{name}.weight", outputs, inputs).T)
        return self.op("Add", self.op("MatMul", x, matrix), self.weight(f"{name}.bias", outputs))

    def int8_matrices(self, matrices: np.ndarray) -> tuple[str, str, str]:
        """`(..., rows, columns)` as int8 `(..., columns, rows)`, the scales of the rows, and zero points."""
        rounded, scales = rounded_rows(matrices)
        points = np.zeros(scales.shape, np.int8)
        return self.constant(rounded.swapaxes(-2, -1)), self.constant(scales), self.constant(points)

    def layer_norm(self, name: str, x: str, size: int) -> str:
        """Layer normalisation of the last axis."""
        scale, bias = self.weight(f"{name}.weight", size), self.weight(f"{name}.bias", size)
        return self.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=EPSILON)

    def inside(self, x: str, lengths: str) -> str:
        """`(batch, frames)`: True for an utterance's own frames, of `x` `(batch, frames, ...)`."""
        frames = self.op("Gather", self.op("Shape", x), self.constant(1))
        position = self.op("Range", self.constant(0), frames, self.constant(1))
        return self.op("Less", position, self.op("Unsqueeze", lengths, self.constant([1])))

    def mask(self, x: str, inside: str, axes: Sequence[int]) -> str:
        """`x` with zeros behind each utterance's end; `axes` are those that `inside` lacks."""
        return self.op("Where", self.op("Unsqueeze", inside, self.constant(axes)), x, self.constant(0.0))

    def finish(self, name: str, inputs: Sequence[Value], outputs: Sequence[Value]) -> onnx.ModelProto:
        """The finished graph. Raises `ModelFileError` for a weight that was not used."""
        if self._unused:
            raise ModelFileError(f"{min(self._unused)}: a weight that the settings do not use")
        taken, given = ([helper.make_tensor_value_info(*each) for each in ends] for ends in (inputs, outputs))
        graph = helper.make_graph(self._nodes, name, taken, given, list(self._initializers.values()))
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)],
            ir_version=IR_VERSION,
        )


def _subsampling(graph: GraphBuilder, config: ModelConfig, mels: int) -> tuple[str, str, int]:
    """The strided convolutions: `(batch, output frames, size)`, the lengths `(batch,)` in output frames, and size."""
    lengths, channels = "lengths", 1
    x = graph.mask("features", graph.inside("features", lengths), [2])
    if not STRIDES[config.subsampling]:
        return x, lengths, mels
    x = graph.op("Unsqueeze", x, graph.constant([1]))  # (batch, 1, frames, mels)
    for index, stride in enumerate(STRIDES[config.subsampling]):
        name = f"subsampling.convolutions.{index}"
        kernel = (2 * stride - 1, 3)
        weights = (
            graph.weight(f"{name}.weight", config.channels, channels, *kernel),
            graph.weight(f"{name}.bias", config.channels),
        )
        pads = (stride - 1, 1, stride - 1, 1)
        x = graph.op("Relu", graph.op("Conv", x, *weights, kernel_shape=kernel, strides=(stride, 2), pads=pads))
        rounded = graph.op("Add", lengths, graph.constant(stride - 1))
        lengths = graph.op("Div", rounded, graph.constant(stride))
        frames_first = graph.op("Transpose", x, perm=(0, 2, 1, 3))
        x = graph.mask(x, graph.inside(frames_first, lengths), [1, 3])
        channels, mels = config.channels, math.ceil(mels / 2)
    size = mels * channels
    x = graph.op("Transpose", x, perm=(0, 2, 1, 3))
    return graph.op("Reshape", x, graph.constant([0, 0, size])), lengths, size


def _layer(
    graph: GraphBuilder, config: ModelConfig, index: int, x: str, size: int, lengths: str, inside: str
) -> tuple[str, int]:
    """A layer of the encoder and the normalisation behind it: `(batch, output frames, size)` -> the same, and size."""
    if config.encoder in CELLS:
        x = recurrent(graph, config.encoder, config.width, f"layers.{index}", x, size, lengths)
        size = config.width * (2 if config.encoder == "bilstm" else 1)
        return graph.layer_norm(f"norms.{index}", x, size), size
    x = _residual(graph, config, f"layers.{index}", x, size, inside)
    if index == config.layers - 1:
        x = graph.layer_norm(f"norms.{index}", x, config.width)
    return x, config.width


def recurrent(graph: GraphBuilder, encoder: str, width: int, name: str, x: str, size: int, lengths: str) -> str:
    """A recurrent layer `(batch, frames, size)` -> `(batch, frames, directions * width)`; the backward direction starts
    at each utterance's own end."""
    kind = CELLS[encoder]
    directions = ("forwards", "backwards") if encoder == "bilstm" else ("forwards",)
    order, parts = GATES[kind], []
    for direction in directions:
        stem, rows = f"{name}.{direction}", len(order) * width
        arrays = (
            graph.array(f"{stem}.weight_ih_l0", rows, size),
            graph.array(f"{stem}.weight_hh_l0", rows, width),
            graph.array(f"{stem}.bias_ih_l0", rows),
            graph.array(f"{stem}.bias_hh_l0", rows),
        )
        gates = [np.concatenate([np.split(array, len(order))[gate] for gate in order]) for array in arrays]
        parts.append((gates[0], gates[1], np.concatenate(gates[2:])))
    *matrices, biases = (np.stack(arrays) for arrays in zip(*parts, strict=True))
    frames_first = graph.op("Transpose", x, perm=(1, 0, 2))
    lengths = graph.op("Cast", lengths, to=TensorProto.INT32)
    options: dict[str, Any] = {"hidden_size": width, "direction": "bidirectional" if len(directions) > 1 else "forward"}
    bias = graph.constant(biases)
    if graph.int8 and kind == "LSTM":
        (w, *w_scale), (r, *r_scale) = map(graph.int8_matrices, matrices)
        inputs = (frames_first, w, r, bias, lengths, "", "", "", *w_scale, *r_scale)
        y = graph.op("DynamicQuantizeLSTM", *inputs, domain=MICROSOFT, **options)
    else:
        options |= {"linear_before_reset": 1} if kind == "GRU" else {}
        y = graph.op(kind, frames_first, *map(graph.constant, matrices), bias, lengths, **options)
    # y: (frames, directions, batch, width)
    y = graph.op("Transpose", y, perm=(2, 0, 1, 3))
    return graph.op("Reshape", y, graph.constant([0, 0, len(directions) * width]))


def _residual(graph: GraphBuilder, config: ModelConfig, name: str, x: str, size: int, inside: str) -> str:
    """A layer of the families with residual connections: a branch that mixes frames, and a feed-forward one."""
    width = config.width
    if size != width:
        x = graph.linear(f"{name}.resize", x, size, width)
    if config.encoder != "none":
        mix = {"cnn": _convolution, "transformer": _attention}[config.encoder]
        x = graph.op("Add", x, mix(graph, f"{name}.mix", graph.layer_norm(f"{name}.mix_norm", x, width), width, inside))
    hidden = graph.shape(f"{name}.feed.0.bias")[0]
    y = graph.layer_norm(f"{name}.feed_norm", x, width)
    y = graph.op("Relu", graph.linear(f"{name}.feed.0", y, width, hidden))
    return graph.op("Add", x, graph.linear(f"{name}.feed.2", y, hidden, width))


def _convolution(graph: GraphBuilder, name: str, x: str, width: int, inside: str) -> str:
    """`asr.model.encoders.SeparableConvolution`."""
    kernel = graph.shape(f"{name}.along_time.weight")[-1]
    x = graph.op("Transpose", graph.mask(x, inside, [2]), perm=(0, 2, 1))
    weights = (
        graph.weight(f"{name}.along_time.weight", width, 1, kernel),
        graph.weight(f"{name}.along_time.bias", width),
    )
    x = graph.op("Conv", x, *weights, kernel_shape=[kernel], pads=[kernel // 2] * 2, group=width)
    return graph.linear(f"{name}.across", graph.op("Transpose", graph.op("Relu", x), perm=(0, 2, 1)), width, width)


def _attention(graph: GraphBuilder, name: str, x: str, width: int, inside: str) -> str:
    """`asr.model.encoders.RotaryAttention`."""
    head = 2 * math.ceil(width / (2 * HEADS))
    x = graph.linear(f"{name}.project", x, width, 3 * HEADS * head)
    x = graph.op("Reshape", x, graph.constant([0, 0, 3, HEADS, head]))
    x = graph.op("Transpose", x, perm=(2, 0, 3, 1, 4))  # (3, batch, heads, frames, head)
    queries, keys, values = (graph.op("Gather", x, graph.constant(number), axis=0) for number in range(3))
    keys = graph.op("Transpose", _rotate(graph, keys, head), perm=(0, 1, 3, 2))
    scores = graph.op("MatMul", _rotate(graph, queries, head), keys)
    scores = graph.op("Mul", scores, graph.constant(head**-0.5))
    # The lowest float32 rather than minus infinity, which makes NaN of a row that is all padding.
    keep = graph.op("Unsqueeze", inside, graph.constant([1, 2]))
    scores = graph.op("Where", keep, scores, graph.constant(float(np.finfo(np.float32).min)))
    mixed = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), values)
    mixed = graph.op("Reshape", graph.op("Transpose", mixed, perm=(0, 2, 1, 3)), graph.constant([0, 0, HEADS * head]))
    return graph.linear(f"{name}.output", mixed, HEADS * head, width)


def _rotate(graph: GraphBuilder, x: str, head: int) -> str:
    """`asr.model.encoders.rotate` of `(batch, heads, frames, head)`."""
    half = head // 2
    frames = graph.op("Gather", graph.op("Shape", x), graph.constant(2))
    position = graph.op("Range", graph.constant(0), frames, graph.constant(1))
    position = graph.op("Unsqueeze", graph.op("Cast", position, to=TensorProto.FLOAT), graph.constant([1]))
    speed = 10000.0 ** (-np.arange(half, dtype=np.float32) / half)
    angle = graph.op("Mul", position, graph.constant(speed))
    cos, sin = graph.op("Cos", angle), graph.op("Sin", angle)
    first = graph.op("Slice", x, graph.constant([0]), graph.constant([half]), graph.constant([3]))
    second = graph.op("Slice", x, graph.constant([half]), graph.constant([head]), graph.constant([3]))
    turned_first = graph.op("Sub", graph.op("Mul", first, cos), graph.op("Mul", second, sin))
    turned_second = graph.op("Add", graph.op("Mul", second, cos), graph.op("Mul", first, sin))
    return graph.op("Concat", turned_first, turned_second, axis=-1)
