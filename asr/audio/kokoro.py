"""Kokoro-82M, a neural synthesiser (hexgrad 2025, Apache-2.0; after StyleTTS 2, Li et al. 2023): text -> speech.

A folder holds its parts, as `make -C recipes/english kokoro` makes it:

    model.onnx     the network: tokens (1, n), style (1, 256) and speed (1,) -> samples at 24 kHz
    vocab.json     the token of each phoneme letter
    voices/*.bin   styles (510, 256) float32: a row per number of tokens. af_, am_: American; bf_, bm_: British

espeak-ng makes the phonemes, which are rewritten in Kokoro's letters as its own front end does (misaki, Apache-2.0).
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from asr.audio.espeak import Espeak
from asr.errors import AsrError
from asr.utils.onnx_session import one_thread_session

SAMPLE_RATE = 24000
MOST_TOKENS = 510
STYLE = 256  # values of a style
ACCENTS = {"a": "en-us", "b": "en"}  # espeak-ng's voice by the first letter of Kokoro's
REMEDY = "`make -C recipes/english kokoro` fetches the parts"

# In this order: longer matches come before their parts.
_LETTERS = {
    "ʔˌn̩": "tn", "ʔn̩": "tn", "a^ɪ": "I", "a^ʊ": "W", "d^ʒ": "ʤ", "e^ɪ": "A", "t^ʃ": "ʧ", "ɔ^ɪ": "Y", "ə^l": "ᵊl",
    "ʔn": "tn", "ʲo": "jo", "ʲə": "jə", "ɚ": "əɹ", "ʔ": "t", "e": "A", "ʲ": "", "r": "ɹ", "x": "k", "ç": "k", "ɐ": "ə",
    "ɬ": "l", "̃": "",
}  # fmt: skip
_BY_ACCENT = {
    "a": {"o^ʊ": "O", "ɜːɹ": "ɜɹ", "ɜː": "ɜɹ", "ɪə": "iə", "ː": ""},
    "b": {"e^ə": "ɛː", "iə": "ɪə", "ə^ʊ": "Q"},
}
_SYLLABIC = re.compile(r"(\S)̩")


class Kokoro:
    """The network with its voices, on one core. Raises `AsrError` when a part is missing."""

    def __init__(self, folder: Path):
        try:
            self._tokens: dict[str, int] = json.loads((folder / "vocab.json").read_text("utf-8"))["vocab"]
            self._styles = {
                path.stem: _read_styles(path) for path in sorted((folder / "voices").glob("[ab][fm]_*.bin"))
            }
            session = one_thread_session(str(folder / "model.onnx"))
        except Exception as error:  # those of ONNX Runtime have no common base
            reason = str(error).splitlines()[0]
            raise AsrError(f"{folder}: not the parts of Kokoro ({reason}); {REMEDY}") from error
        if not self._styles:
            raise AsrError(f"{folder}: no English voice in its folder voices; {REMEDY}")
        self._session, self._espeak, self.sample_rate = session, Espeak(), SAMPLE_RATE

    def voices(self) -> list[str]:
        """Names of the English voices."""
        return list(self._styles)

    def phonemes(self, text: str, accent: str) -> str:
        """`text` in Kokoro's letters, with stress; `accent` is a key of `ACCENTS`. Letters that the network lacks are
        left out."""
        self._espeak.use(ACCENTS[accent])
        return "".join(letter for letter in rewrite(self._espeak.ipa(text), accent) if letter in self._tokens)

    def say(self, text: str, blend: Mapping[str, float], speed: float) -> np.ndarray:
        """Speak `text`: `(samples,)` float32 at `sample_rate`.

        `blend` is the share of each voice, of sum 1; the first one's accent is spoken. Raises `AsrError` for text
        of more than `MOST_TOKENS` phoneme letters.
        """
        letters = self.phonemes(text, next(iter(blend))[0]) + "."
        if len(letters) > MOST_TOKENS:
            raise AsrError(f"'{text[:40]}...': {len(letters)} phoneme letters, of which Kokoro speaks {MOST_TOKENS}")
        style = sum(share * self._styles[voice][len(letters) - 1] for voice, share in blend.items())
        tokens = [0, *(self._tokens[letter] for letter in letters), 0]
        inputs = {
            "tokens": np.array([tokens], np.int64),
            "style": np.asarray(style, np.float32)[None],
            "speed": np.array([speed], np.float32),
        }
        return np.float32(self._session.run(None, inputs)[0]).ravel()


def rewrite(ipa: str, accent: str) -> str:
    """espeak-ng's IPA, tied by `^`, in Kokoro's letters: `d^ʒˈʌd^ʒ` -> `ʤˈʌʤ`."""
    for old, new in _LETTERS.items():
        ipa = ipa.replace(old, new)
    ipa = _SYLLABIC.sub(r"ᵊ\1", ipa)
    for old, new in _BY_ACCENT[accent].items():
        ipa = ipa.replace(old, new)
    return ipa.replace("^", "")


def _read_styles(path: Path) -> np.ndarray:
    styles = np.fromfile(path, "<f4")
    if styles.size != MOST_TOKENS * STYLE:
        raise ValueError(f"{path.name}: {styles.size} values instead of {MOST_TOKENS * STYLE}")
    return styles.reshape(MOST_TOKENS, STYLE)
