"""Names and phrases that a client wants to be preferred, from the `prompt` of OpenAI's API and its like."""

import itertools
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

from asr.recognition.recognizer import Recognizer

MOST_PHRASES = 100
MOST_CHARACTERS = 100  # of a phrase
MOST_WORDS = 4  # of a phrase; longer parts of a prompt are sentences, in which only names count
MOST_KEPT = 4  # recognisers: one with new words takes some 50 MB
_ENDS = re.compile(r"[,;:.!?]+(?:\s|$)|[，、；：。！？\n]")
_WORD = re.compile(r"\w[\w'’-]*")

Phrases = tuple[str, ...]


def phrases_of(prompt: str, keywords: Sequence[str] = ()) -> Phrases:
    """Keywords, and the phrases of a prompt such as "Gathercole, Ada Lovelace": parts of up to four words between
    commas, full stops and line ends; from longer parts the capitalized words after the first."""
    found = dict.fromkeys(keywords)
    for part in map(str.strip, _ENDS.split(prompt)):
        if 0 < len(part.split()) <= MOST_WORDS:
            found[part] = None
        else:
            found |= dict.fromkeys(_names(part))
    return limited(found)


def _names(sentence: str) -> Iterator[str]:
    """The capitalized words of a sentence after the first, neighbours together."""
    for capitalized, words in itertools.groupby(_WORD.findall(sentence)[1:], lambda word: word[0].isupper()):
        if capitalized:
            yield " ".join(words)


def limited(phrases: Iterable[str]) -> Phrases:
    """The first `MOST_PHRASES` of some phrases, without those that are empty or longer than `MOST_CHARACTERS`."""
    stripped = dict.fromkeys(phrase.strip() for phrase in phrases)
    return tuple(phrase for phrase in stripped if 0 < len(phrase) <= MOST_CHARACTERS)[:MOST_PHRASES]


class Preferences:
    """Recognisers by the phrases that they prefer; those of the last few requests are kept."""

    def __init__(self, recognizer: Recognizer):
        self._recognizer, self._lock = recognizer, threading.Lock()
        self._made: OrderedDict[Phrases, Recognizer] = OrderedDict()

    def recognizer(self, phrases: Phrases) -> Recognizer:
        """The recogniser that prefers these phrases. It takes a second or two to make, so call it in a worker."""
        if not phrases:
            return self._recognizer
        with self._lock:  # espeak-ng, which pronounces new words, has one state per process
            found = self._made.pop(phrases, None) or self._recognizer.with_hotwords(phrases)
            self._made[phrases] = found
            if len(self._made) > MOST_KEPT:
                self._made.popitem(last=False)
        return found
