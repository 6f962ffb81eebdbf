"""The punctuation network as an ONNX graph: what ONNX Runtime computes, without PyTorch."""

from collections.abc import Mapping

import numpy as np
from onnx import TensorProto

from asr.model.onnx_graph import GraphBuilder, recurrent
from asr.punctuation.features import FEATURES
from asr.punctuation.labels import CASES, MARKS


def build_graph(weights: Mapping[str, np.ndarray]) -> bytes:
    """`features` `(batch, words, FEATURES)` int64 -> `cases` and `marks` `(batch, words, labels)` float32, logits.

    Computes what `asr.punctuation.network.PunctuationNetwork` does. Raises `ModelFileError` for weights that do not fit
    together.
    """
    graph = GraphBuilder(weights, int8=False)
    buckets, size = graph.shape("embedding.weight")
    x = graph.op("Gather", graph.weight("embedding.weight", buckets, size), "features")
    x = graph.op("ReduceSum", x, graph.constant([2]), keepdims=0)
    batch, words = (graph.op("Slice", graph.op("Shape", x), *map(graph.constant, ([at], [at + 1]))) for at in (0, 1))
    lengths = graph.op("Expand", words, batch)
    for layer in range(sum(name.endswith("forwards.weight_hh_l0") for name in weights)):
        width = graph.shape(f"layers.{layer}.forwards.weight_hh_l0")[1]
        x = recurrent(graph, "bilstm", width, f"layers.{layer}", x, size, lengths)
        size = 2 * width
        x = graph.layer_norm(f"norms.{layer}", x, size)
    scores = graph.linear("head", x, size, len(CASES) + len(MARKS))
    graph.op("Split", scores, graph.constant([len(CASES), len(MARKS)]), axis=-1, output="cases", outputs=2)
    graph.op("Identity", "cases_1", output="marks")
    labels = {"cases": len(CASES), "marks": len(MARKS)}
    return graph.finish(
        "punctuation",
        [("features", TensorProto.INT64, ("batch", "words", FEATURES))],
        [(name, TensorProto.FLOAT, ("batch", "words", count)) for name, count in labels.items()],
    ).SerializeToString()
