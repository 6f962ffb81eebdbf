"""A small speech recogniser: a bidirectional LSTM trained with CTC.

>>> import asr
>>> model = asr.Recognizer.load("model.safetensors")  # doctest: +SKIP
>>> model.transcribe("talk.wav").text  # doctest: +SKIP
'seven three'
"""

import importlib
import sys
import types

__version__ = "0.2.0"

_PUBLIC = {
    "DecoderConfig": "asr.decoding.config",
    "Recognizer": "asr.recognition.recognizer",
    "Transcript": "asr.transcript",
    "load_audio": "asr.audio.io",
}

__all__ = ["DecoderConfig", "Recognizer", "Transcript", "__version__", "load_audio"]


def __getattr__(name: str):
    # On use: `import asr` and `asr --help` must not wait for NumPy and ONNX Runtime.
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'asr' has no attribute '{name}'")


def _options(name: str):
    """`asr.options` held every option up to version 0.1; programs of its users import from it."""
    if name.endswith("Config"):
        for folder in ("decoding", "recognition", "evaluation", "data", "lm", "visual"):
            module = importlib.import_module(f"asr.{folder}.config")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module 'asr.options' has no attribute '{name}'; options are in each folder's config.py")


sys.modules["asr.options"] = types.ModuleType("asr.options")
sys.modules["asr.options"].__dict__["__getattr__"] = _options
