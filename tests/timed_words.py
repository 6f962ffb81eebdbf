"""Transcripts for tests, without a recogniser."""

from asr.transcript import Transcript, Word


def timed(text, gap=0.1):
    """A transcript of words of 0.3 s."""
    words = [Word(word, i * (0.3 + gap), i * (0.3 + gap) + 0.3, 0.9 - 0.01 * i) for i, word in enumerate(text.split())]
    return Transcript(text, tuple(words), 10.0)
