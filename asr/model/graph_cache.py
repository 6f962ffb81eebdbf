"""Networks as ONNX graphs in the user's cache folder: building one takes longer than recognising a short recording."""

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from asr.utils.array_file import read_array_file, write_array_file
from asr.utils.cache_folder import user_cache

SUFFIX = ".asrgraph"
KEPT = 8  # graphs: each epoch of a training run may have been tried

_BUILDER = Path(__file__).with_name("onnx_graph.py")


def cached_graph(path: str, precision: str, build: Callable[[], bytes], code: Path | None = None) -> bytes:
    """The graph of a model file, from the cache if it was built from the same content and by the same code.

    `code` is the source that builds it, apart from `asr.model.onnx_graph`.
    """
    folder = user_cache()
    if folder is None:
        return build()
    digest = hashlib.sha256(_BUILDER.read_bytes() + (code.read_bytes() if code else b""))
    with Path(path).open("rb") as stream:
        digest.update(hashlib.file_digest(stream, "sha256").digest())
    cached = folder / "graph" / f"{digest.hexdigest()[:32]}-{precision}{SUFFIX}"
    with contextlib.suppress(OSError, ValueError):  # missing or damaged: built again below
        return read_array_file(cached)[0]["graph"].tobytes()
    graph = build()
    with contextlib.suppress(OSError):  # full
        write_array_file(cached, {"graph": np.frombuffer(graph, np.uint8)}, {})
        graphs = sorted(cached.parent.glob(f"*{SUFFIX}"), key=lambda graph: graph.stat().st_mtime_ns)
        for older in graphs[:-KEPT]:
            older.unlink(missing_ok=True)
    return graph
