"""`asr mcp`: a tool for assistants over the Model Context Protocol (https://modelcontextprotocol.io), on standard input
and output."""

import asyncio
from pathlib import Path
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from asr import __version__
from asr.errors import AsrError
from asr.recognition.recognizer import Recognizer
from asr.server.languages import problem


def make_server(recognizer: Recognizer, served: str) -> MCPServer:
    """The server with its only tool; `served` is the code of the model's language."""
    server = MCPServer("asr", version=__version__)

    @server.tool()
    async def transcribe_audio(path: str, language: str = "", timestamps: bool = False) -> dict[str, Any]:
        """Transcribe a local recording of speech (wav, mp3, flac, ogg, m4a, mp4, ...), of any length.

        Returns `text` and `duration` in seconds; with `timestamps` also `words` with start, end (seconds) and
        confidence (0 to 1).

        Args:
            path: The recording on this computer.
            language: Language that is spoken, if known; the model has one language, and another one is an error.
            timestamps: Whether to return the time of each word.
        """
        if wrong := problem(language, served):
            raise ToolError(wrong)
        try:
            transcript = await asyncio.to_thread(recognizer.transcribe, Path(path).expanduser())
        except AsrError as error:
            raise ToolError(str(error)) from error
        found: dict[str, Any] = {"text": transcript.text, "duration": round(transcript.duration, 3)}
        if timestamps:
            names = ("text", "start", "end", "confidence")
            found["words"] = [{name: getattr(word, name) for name in names} for word in transcript.words]
        return found

    return server


def serve(recognizer: Recognizer, served: str) -> None:
    """Serve until standard input ends."""
    make_server(recognizer, served).run("stdio")
