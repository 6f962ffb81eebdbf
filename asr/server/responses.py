"""Transcripts in the shapes of OpenAI's audio API (https://platform.openai.com/docs/api-reference/audio)."""

import itertools
import json
import math
import zlib
from collections.abc import Sequence
from typing import Any

from asr.output.formats import Document, to_srt, to_vtt
from asr.output.subtitles import make_subtitles
from asr.transcript import Transcript, Word

FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
LEAST_CONFIDENCE = 1e-6  # whose logarithm is still a number


def plain(transcript: Transcript, logprobs: bool) -> dict[str, Any]:
    """`json`: the text, and how much audio it is from."""
    body: dict[str, Any] = {"text": transcript.text, "usage": usage(transcript.duration)}
    return body | ({"logprobs": log_probabilities(transcript)} if logprobs else {})


def usage(seconds: float) -> dict[str, Any]:
    """What was used: seconds of audio."""
    return {"type": "duration", "seconds": math.ceil(seconds)}


def log_probabilities(transcript: Transcript, before: str = "") -> list[dict[str, Any]]:
    """The logarithm of each word's confidence; words are what this recogniser has for tokens. Each but the first begins
    with what separates it from the one before; the first begins with `before`."""
    separators = itertools.chain([before], itertools.repeat(transcript.separator))
    texts = [separator + word.text for separator, word in zip(separators, transcript.words, strict=False)]
    return [
        {"token": text, "bytes": list(text.encode()), "logprob": _log(word.confidence)}
        for text, word in zip(texts, transcript.words, strict=True)
    ]


def verbose(transcript: Transcript, language: str, granularities: Sequence[str]) -> dict[str, Any]:
    """`verbose_json`: also language, segments and, if asked for, words with their times."""
    body: dict[str, Any] = {
        "task": "transcribe",
        "language": language,
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
        "usage": usage(transcript.duration),
    }
    if "segment" in granularities or not granularities:
        body["segments"] = segments(transcript)
    if "word" in granularities:
        body["words"] = timed_words(transcript)
    return body


def timed_words(transcript: Transcript) -> list[dict[str, Any]]:
    """Words with times; OpenAI's have no `probability`, other servers' do."""
    return [
        {"word": word.text, "start": word.start, "end": word.end, "probability": word.confidence}
        for word in transcript.words
    ]


def segments(transcript: Transcript, first: int = 0) -> list[dict[str, Any]]:
    """Segments, cut as subtitles are and numbered from `first`. There is no sampling temperature, and no token has an
    id that another program could use."""
    return [
        _segment(number, words, transcript.join(words))
        for number, words in enumerate((each.words for each in make_subtitles(transcript)), start=first)
    ]


def _segment(number: int, words: Sequence[Word], text: str) -> dict[str, Any]:
    confidences = [_log(word.confidence) for word in words]
    size = len(text.encode())
    return {
        "id": number,
        "seek": round(words[0].start * 100),  # frames of 10 ms, as Whisper counts
        "start": words[0].start,
        "end": words[-1].end,
        "text": text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": sum(confidences) / len(confidences),
        "compression_ratio": size / len(zlib.compress(text.encode())),
        "no_speech_prob": 0.0,
    }


def subtitles(transcript: Transcript, kind: str) -> str:
    """`srt` or `vtt`."""
    return {"srt": to_srt, "vtt": to_vtt}[kind](Document("", "", transcript))


def event(kind: str, fields: dict[str, Any]) -> bytes:
    """A server-sent event (WHATWG HTML, section 9.2) whose data is one JSON object that names its type."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | fields, ensure_ascii=False)}\n\n".encode()


def delta_events(
    part: Transcript,
    before: str,
    found: Sequence[dict[str, Any]],
    logprobs: list[dict[str, Any]] | None,
    granularities: Sequence[str],
) -> list[bytes]:
    """The events of a part of a recording with its segments; `before` separates it from the text of earlier parts."""
    if not part.text:
        return []
    fields: dict[str, Any] = {"delta": before + part.text} | ({"logprobs": logprobs} if logprobs is not None else {})
    fields |= {"words": timed_words(part)} if "word" in granularities else {}
    events = [event("transcript.text.delta", fields)]
    for segment in found:
        flat = {**segment, "id": f"seg_{segment['id']}", "speaker": ""}
        events.append(event("transcript.text.segment", flat | {"segment": segment}))
    return events


def done_event(text: str, found: Sequence[dict[str, Any]], seconds: float, logprobs: list | None) -> bytes:
    """The last event: all of the text and the segments."""
    fields = {"text": text, "segments": list(found), "usage": usage(seconds)}
    return event("transcript.text.done", fields | ({"logprobs": logprobs} if logprobs is not None else {}))


def _log(confidence: float) -> float:
    return math.log(max(confidence, LEAST_CONFIDENCE))
