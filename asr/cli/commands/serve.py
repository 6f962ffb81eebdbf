"""Commands that serve other programs."""

from collections.abc import Sequence
from typing import Annotated

from asr.cli.arguments import ModelOrEnglish, Options
from asr.cli.model_defaults import decoder_defaults
from asr.cli.subcommands import Command, Group
from asr.decoding.config import DecoderConfig
from asr.pretrained import ENGLISH
from asr.server.config import ServeConfig
from asr.utils.config_io import validate


def serve(options: Annotated[ServeConfig, Options], model: ModelOrEnglish = ENGLISH) -> int:
    """Serve a model over HTTP, for OpenAI-compatible clients.

    On SIGTERM or Ctrl-C it refuses new requests, finishes the running ones and exits.

    Args:
        model: Model file written by `asr train`.
    """
    from asr.server.serve import serve

    serve(model, validate(options, "options"))
    return 0


def mcp(options: Annotated[DecoderConfig, Options], model: ModelOrEnglish = ENGLISH, language: str = "en") -> int:
    """Serve a tool for assistants (Model Context Protocol, stdio).

    The tool, transcribe_audio, reads recordings on this computer.

    Args:
        model: Model file written by `asr train`.
        language: Language of the model, as an ISO 639-1 code. Requests for another language get an error.
    """
    from asr.recognition.recognizer import Recognizer
    from asr.server.mcp import serve

    serve(Recognizer.load(model, "cpu", validate(options, "options")), language)
    return 0


def _defaults(arguments: Sequence[str]) -> ServeConfig:
    return ServeConfig(search=decoder_defaults(arguments))


GROUP = Group("Serve", {"serve": Command(serve, _defaults), "mcp": Command(mcp, decoder_defaults)})
