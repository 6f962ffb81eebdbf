"""espeak-ng, a formant synthesiser: text -> speech, and words -> phones.

The wheel `espeakng-loader` contains the library, which is called through ctypes, and its data.
"""

import ctypes
import functools
import re
from pathlib import Path

import numpy as np

from asr.errors import AsrError

# Variants that do not resemble natural speech: a speed test, effects that mask the words, whispers and robots.
EXCLUDED_VOICES = re.compile(r"fast|Demonic|croak|whisperf?|.*Robot|robosoft\d*")


class Espeak:
    """The espeak-ng library, whose state is shared by the whole process."""

    def __init__(self):
        self._library, self.sample_rate = _start_library()

    def voices(self) -> list[str]:
        """The names of the voice variants."""
        import espeakng_loader

        folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
        return sorted(path.name for path in folder.iterdir() if not EXCLUDED_VOICES.fullmatch(path.name))

    def use(self, voice: str) -> None:
        """Select a voice, `en-us` or `en-us+VARIANT`. Raises `AsrError` if there is no such voice."""
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise AsrError(f"espeak-ng has no voice '{voice}'; is espeakng-loader installed completely?")

    def phones(self, text: str) -> list[str]:
        """The pronunciation of `text` by the selected voice, in the International Phonetic Alphabet without stress.

        A symbol is one of espeak-ng's phonemes, which may be two phones: `aɪɚ`, `ɔːɹ`.
        """
        return _STRESS.sub("", self._translate(text, _IPA_SEPARATED)).split()

    def ipa(self, text: str) -> str:
        """`text` in the International Phonetic Alphabet as the voice in use speaks it, with stress; the symbols of one
        phoneme are tied by `^`."""
        return self._translate(text, _IPA_TIED)

    def _translate(self, text: str, mode: int) -> str:
        rest, clauses = ctypes.c_char_p(text.encode()), []
        while rest:  # set to null after the last clause
            clauses.append(self._library.espeak_TextToPhonemes(ctypes.byref(rest), _UTF8, mode).decode())
        return " ".join(clauses)

    def say(self, text: str, voice: str, words_per_minute: int, pitch: int) -> np.ndarray:
        """Synthesise `text`: `(samples,)` float32 at `sample_rate`. `pitch` is 0 to 99; 50 is the voice's default."""
        return self.say_words(text, voice, words_per_minute, pitch)[0]

    def say_words(
        self, text: str, voice: str, words_per_minute: int, pitch: int
    ) -> tuple[np.ndarray, list[tuple[str, float]]]:
        """The samples of `say`, and each word with its start in seconds.

        The synthesiser may join adjacent words into one ("off the").
        """
        library, pieces, words = self._library, [], []

        @_CALLBACK
        def collect(samples, count, events):
            if count > 0:
                pieces.append(np.ctypeslib.as_array(samples, (count,)).astype(np.float32) / 32768)
            event = 0
            while events[event].type != _LIST_ENDS:
                if events[event].type == _WORD:
                    first = events[event].text_position - 1
                    words.append((text[first : first + events[event].length], events[event].sample / self.sample_rate))
                event += 1
            return 0

        # Breath and noise are random and otherwise seeded by the time of day.
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        library.espeak_SetSynthCallback(collect)
        self.use(voice)
        library.espeak_SetParameter(_RATE, words_per_minute, 0)
        library.espeak_SetParameter(_PITCH, pitch, 0)
        encoded = text.encode()
        library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _UTF8, None, None)
        return np.concatenate(pieces) if pieces else np.zeros(0, np.float32), words


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # in characters, from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # milliseconds
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_SYNCHRONOUS, _RATE, _PITCH, _UTF8, _LIST_ENDS, _WORD = 2, 1, 3, 1, 0, 1  # constants of speak_lib.h
_IPA_SEPARATED = 0x02 | ord(" ") << 8
_IPA_TIED = 0x82 | ord("^") << 8
_STRESS = re.compile("[ˈˌ]")


@functools.cache
def _start_library() -> tuple[ctypes.CDLL, int]:
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    library.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int]
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    sample_rate = library.espeak_Initialize(_SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0)
    if sample_rate <= 0:
        raise AsrError("espeak-ng did not start; is espeakng-loader installed completely?")
    return library, sample_rate
