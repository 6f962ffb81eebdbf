"""Commands that serve other programs."""

from collections.abc import Sequence
from typing import Annotated

from asr.cli.arguments import ModelOrEnglish, Options
from asr.cli.model_defaults import decoder_defaults
from asr.cli.subcommands import Command, Group
from asr.pretrained import ENGLISH
from asr.server.config import McpConfig, ServeConfig
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


def mcp(options: Annotated[McpConfig, Options], model: ModelOrEnglish = ENGLISH) -> int:
    """Serve a tool for assistants (Model Context Protocol, stdio).

    The tool, transcribe_audio, reads recordings on this computer.

    Args:
        model: Model file written by `asr train`.
    """
    options = validate(options, "options")
    from asr.recognition.recognizer import Recognizer
    from asr.server.mcp import serve

    serve(Recognizer.load(model, "cpu", options.search), options.language)
    return 0


def _serve_defaults(arguments: Sequence[str]) -> ServeConfig:
    return ServeConfig(search=decoder_defaults(arguments))


def _mcp_defaults(arguments: Sequence[str]) -> McpConfig:
    return McpConfig(search=decoder_defaults(arguments))


GROUP = Group("Serve", {"serve": Command(serve, _serve_defaults), "mcp": Command(mcp, _mcp_defaults)})
