"""Published corpus layouts -> candidates: one module per layout, each with a function `read(source)`."""

from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from typing import Any

from asr.data.corpora.base import Candidate


def _call(module: str, function: str, *arguments: Any) -> Iterable[Candidate]:
    # Imported on use: the synthetic corpus needs libraries that reading a folder does not.
    return getattr(import_module(f"asr.data.corpora.{module}"), function)(*arguments)


READ = (
    "librispeech",
    "common_voice",
    "ljspeech",
    "speech_commands",
    "fsdd",
    "kaldi",
    "aishell",
    "table",
    "folder",
    "lhotse",
    "nemo",
    "huggingface",
    "shards",
)
# Those that may write recordings, and have options of their own: `read(source, folder, options)`.
WRITE_RECORDINGS = ("kaldi", "nemo", "huggingface")

# Each takes the corpus's path; 'synthetic' takes the kind of sentences, a folder for recordings, and a SyntheticConfig.
LAYOUTS: dict[str, Callable[..., Iterable[Candidate]]] = {
    **{name: partial(_call, name, "read") for name in READ},
    "synthetic": partial(_call, "synthetic", "generate"),
}
