"""Networks in ONNX Runtime."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

# Since 1.29 it reports each run to its makers, and marks the machine with an identifier, unless told not to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def one_thread_session(network: bytes | str) -> Any:
    """A session for a network, serialised or named by its file, that computes in the thread that calls it.

    Threads of one run would wait for each other, spinning. Raises ONNX Runtime's errors, which have no common base.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # fatal: errors are raised, not printed
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])


class PortableSession:
    """A one-thread session that can be sent to another process, as its graph."""

    def __init__(self, graph: bytes):
        self._graph, self._session = graph, one_thread_session(graph)

    def __reduce__(self):
        return PortableSession, (self._graph,)

    def run(self, outputs: Sequence[str] | None, inputs: Mapping[str, Any]) -> list[Any]:
        """The values of these outputs, or of all."""
        return self._session.run(outputs, inputs)
