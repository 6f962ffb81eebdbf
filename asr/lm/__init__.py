"""Language models. N-grams: text -> counts -> Kneser-Ney -> ARPA -> the memory-mapped form that the decoder queries.
Recurrent networks: text -> word ids -> weights -> ONNX graphs that rescore the decoder's hypotheses."""

import os
from pathlib import Path

ARPA_NAMES = (".arpa", ".arpa.gz", ".arpa.xz")  # suffixes of ARPA files
RECURRENT_SUFFIX = ".safetensors"


def is_recurrent(path: str | os.PathLike) -> bool:
    """Whether a language model is a recurrent one, by its name."""
    return Path(path).suffix == RECURRENT_SUFFIX
