"""A small speech recogniser: a bidirectional LSTM trained with CTC.

>>> import asr
>>> model = asr.Recognizer.load("model.safetensors")  # doctest: +SKIP
>>> model.transcribe("talk.wav").text  # doctest: +SKIP
'seven three'
"""

import importlib

__version__ = "0.1.0"

_PUBLIC = {"Recognizer": "asr.recognizer", "Transcript": "asr.transcript", "load_audio": "asr.audio"}

__all__ = ["Recognizer", "Transcript", "__version__", "load_audio"]


def __getattr__(name: str):
    # Importing torch takes seconds; `import asr` and `asr --help` must not wait for it.
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'asr' has no attribute '{name}'")
