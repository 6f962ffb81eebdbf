"""Decoders by their options: log-probabilities -> words with frames and confidence."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from asr.decoding.config import DecoderConfig
from asr.decoding.greedy import Tokens, greedy
from asr.errors import ConfigError, DecoderError
from asr.text.config import TextConfig
from asr.text.normalizer import normalize
from asr.text.tokenizer import Tokenizer, separator_of

if TYPE_CHECKING:  # greedy decoding does not import numba
    from asr.decoding.beam import BeamDecoder, Hypothesis
    from asr.decoding.hotwords import Phrase
    from asr.decoding.rescoring import Rescorer
    from asr.lm.ngram import NgramModel


@dataclass(frozen=True)
class DecodedWord:
    """A word and the output frames from its first token to the end of its last."""

    text: str
    start: int  # frame
    end: int  # frame after the last
    confidence: float  # 0..1


@dataclass(frozen=True)
class Decoding:
    """The words of one utterance."""

    text: str
    words: tuple[DecodedWord, ...]
    hypotheses: "tuple[Hypothesis, ...]" = ()  # of a beam search, the best first


def join_decodings(parts: Sequence[tuple[int, Decoding]], separator: str) -> Decoding:
    """The decodings of an utterance's parts, each with its first frame, as one; `separator` is the decoder's. Only a
    single part keeps its other hypotheses: those of several parts cannot be combined."""
    words = (replace(word, start=word.start + at, end=word.end + at) for at, part in parts for word in part.words)
    text = separator.join(part.text for _, part in parts if part.text)
    return Decoding(text, tuple(words), parts[0][1].hypotheses if len(parts) == 1 else ())


def without_doubtful(decoding: Decoding, least: float, separator: str) -> Decoding:
    """The decoding without words of less confidence; unchanged if there are none."""
    words = tuple(word for word in decoding.words if word.confidence >= least)
    if len(words) == len(decoding.words):
        return decoding
    return replace(decoding, text=separator.join(word.text for word in words), words=words)


class Decoder(Protocol):
    """Log-probabilities of several utterances, `(frames, tokens)` each -> the words of each."""

    @property
    def separator(self) -> str:
        """What separates words in a text: nothing in a script without spaces."""
        ...

    def decode_batch(self, emissions: Sequence[np.ndarray]) -> list[Decoding]: ...

    def with_hotwords(self, phrases: "Sequence[Phrase]") -> "WordDecoder": ...

    def stream(self) -> "DecodingStream": ...


class DecodingStream(Protocol):
    """The decoding of one utterance whose log-probabilities come in pieces."""

    def push(self, emission: np.ndarray) -> None:
        """Add frames `(frames, tokens)`."""
        ...

    def words(self) -> tuple[DecodedWord, ...]:
        """The words if the utterance ended here."""
        ...

    def fork(self) -> "DecodingStream":
        """A decoding that continues from here on its own."""
        ...


class GreedyDecoder:
    """The best token of each frame, phones excluded; a word's confidence is the geometric mean of its tokens' highest
    probabilities."""

    def __init__(self, tokenizer: Tokenizer, reject: float = 0.0):
        self._tokenizer, self._reject = tokenizer, reject
        self.separator = separator_of(tokenizer.pieces)

    def decode_batch(self, emissions: Sequence[np.ndarray]) -> list[Decoding]:
        """Decode each utterance's log-probabilities `(frames, tokens + phones)`."""
        return [self._decode(emission) for emission in emissions]

    def with_hotwords(self, phrases: "Sequence[Phrase]") -> "WordDecoder":
        """A beam search over the same tokens that prefers the phrases which they can write."""
        from asr.decoding.beam import BeamDecoder

        return WordDecoder(BeamDecoder(self._tokenizer.pieces), reject=self._reject).with_hotwords(phrases)

    def stream(self) -> "DecodingStream":
        """A decoding whose frames come in pieces."""
        return _GreedyStream(self)

    def _decode(self, emission: np.ndarray) -> Decoding:
        tokens = greedy(emission[None, :, : len(self._tokenizer.pieces)], np.array([len(emission)]))[0]
        decoding = Decoding(self._tokenizer.decode(tokens.indices), words_of(tokens, self._tokenizer.pieces))
        return without_doubtful(decoding, self._reject, self.separator)


class WordDecoder:
    """Beam search with word times from the likeliest alignment; a word's confidence is the share of the beam that
    agreed on it times the geometric mean of its tokens' highest probabilities (see `confidence`).

    `columns` are those of the tokens that are searched: the network's phones, if the lexicon spells words by them.
    Words of less confidence than `reject` are left out.
    """

    def __init__(self, beam: "BeamDecoder", columns: slice = slice(None), reject: float = 0.0):
        from asr.decoding.confidence import pooling_of

        self.beam, self._columns, self._reject = beam, columns, reject
        self._pooling = pooling_of(beam.pieces) if beam.lexicon.pronounced else None

    def with_beam(self, beam: "BeamDecoder") -> "WordDecoder":
        """A decoder of the same columns with another search, which leaves out no words."""
        return WordDecoder(beam, self._columns)

    @property
    def separator(self) -> str:
        """What separates words in a text: nothing in a script without spaces."""
        return self.beam.lexicon.separator

    @property
    def context(self) -> int:
        """Words before an utterance that its decoding depends on."""
        return self.beam.config.rescore_context if self.beam.rescorer else 0

    def decode_batch(self, emissions: Sequence[np.ndarray]) -> list[Decoding]:
        """Decode each utterance, on all cores."""
        return self.beam.map(self.decode, emissions)

    def with_hotwords(self, phrases: "Sequence[Phrase]") -> "WordDecoder":
        """The same search that prefers the phrases too, except those that it cannot write or pronounce."""
        from asr.decoding.vocabulary import writable

        words = writable((word for each in phrases for word in each.text.split()), self.beam.lexicon, self.beam.pieces)
        usable = [phrase for phrase in phrases if phrase.text and words.issuperset(phrase.text.split())]
        return WordDecoder(self.beam.with_hotwords(usable), self._columns, self._reject)

    def stream(self) -> "DecodingStream":
        """A decoding whose frames come in pieces; each frame is searched once. Nothing is rescored, since words are
        asked for again and again."""
        return _WordStream(WordDecoder(self.beam.without_rescorer(), self._columns, self._reject))

    def decode(self, emission: np.ndarray, before: Sequence[str] = ()) -> Decoding:
        """Decode one utterance after the words `before`."""
        emission = self.searched(emission)
        return self.decoding(emission, self.beam.decode(emission, before))

    def decoding(self, emission: np.ndarray, hypotheses: "Sequence[Hypothesis]") -> Decoding:
        """The words of the best hypothesis with their frames in the columns that were searched."""
        from asr.decoding.alignment import align
        from asr.decoding.confidence import phone_peaks

        best = hypotheses[0]
        times = align(emission, np.array(best.tokens, np.int64))
        certain = times.log_probabilities if self._pooling is None else phone_peaks(emission, times, self._pooling)
        words = tuple(
            DecodedWord(
                text,
                int(times.starts[first]),
                int(times.ends[end - 1]),
                float(np.sqrt(share * np.exp(certain[first:end].mean()))),
            )
            for text, (first, end), share in zip(best.words, best.spans, best.shares, strict=True)
        )
        return without_doubtful(Decoding(best.text, words, tuple(hypotheses)), self._reject, self.separator)

    def searched(self, emission: np.ndarray) -> np.ndarray:
        """The columns of a network's log-probabilities that are searched, `(frames, tokens)`."""
        return np.asarray(emission)[..., self._columns]


class _GreedyStream:
    def __init__(self, decoder: GreedyDecoder):
        self._decoder, self._pieces = decoder, []

    def push(self, emission: np.ndarray) -> None:
        self._pieces = [*self._pieces, emission]

    def words(self) -> tuple[DecodedWord, ...]:
        if not sum(map(len, self._pieces)):
            return ()
        return self._decoder.decode_batch([np.concatenate(self._pieces)])[0].words

    def fork(self) -> "_GreedyStream":
        return copy.copy(self)


class _WordStream:
    def __init__(self, decoder: WordDecoder):
        self._decoder, self._search, self._pieces = decoder, decoder.beam.stream(), []

    def push(self, emission: np.ndarray) -> None:
        piece = self._decoder.searched(emission)
        self._search.push(piece)
        self._pieces = [*self._pieces, piece]

    def words(self) -> tuple[DecodedWord, ...]:
        if not self._search.frames:
            return ()
        return self._decoder.decoding(np.concatenate(self._pieces), self._search.finish()).words

    def fork(self) -> "_WordStream":
        other = copy.copy(self)
        other._search = self._search.fork()
        return other


def make_decoder(
    config: DecoderConfig,
    tokenizer: Tokenizer,
    text: TextConfig,
    phones: Sequence[str] = (),
    priors: Sequence[float] = (),
) -> Decoder:
    """The decoder for a model's tokenizer, its phones, if it has any, and the priors of both.

    Raises an `AsrError` naming a file that cannot be used, or options that exclude each other.
    """
    if config.is_greedy:
        unread = [
            name
            for name in ("lm", "rescore", "lexicon", "vocabulary", "hotwords")
            if getattr(config, name) not in (None, "none")
        ]
        if unread:
            raise ConfigError(
                f"--decoder greedy has no use for --{unread[0]} {getattr(config, unread[0])}: leave out one of them"
            )
        return GreedyDecoder(tokenizer, config.reject)
    from asr.decoding.warm_up import compiling_search

    with compiling_search():
        return _make_word_decoder(config, tokenizer, text, phones, priors)


def _make_word_decoder(
    config: DecoderConfig, tokenizer: Tokenizer, text: TextConfig, phones: Sequence[str], priors: Sequence[float]
) -> WordDecoder:
    from asr.decoding.beam import BeamDecoder
    from asr.decoding.compiled_lexicon import load_lexicon
    from asr.decoding.vocabulary import add_words, read_vocabulary
    from asr.lm.ngram import NgramModel

    pieces, columns = tokenizer.pieces, slice(len(tokenizer.pieces) if phones else None)
    lm = NgramModel.load(config.lm) if config.lm != "none" else None
    lexicon = load_lexicon(config.lexicon, lm, config.lm, pieces, phones)
    if lexicon and lexicon.pronounced and phones:
        pieces, columns = phones, slice(len(tokenizer.pieces), None)
    if config.vocabulary:
        if not lexicon:
            raise ConfigError(f"--vocabulary {config.vocabulary} adds words to those of --lexicon or --lm: give one")
        new = read_vocabulary(config.vocabulary, text, pieces if lexicon.pronounced else ())
        lexicon = add_words(lexicon, new, pieces)
    rescorer = _load_rescorer(config.rescore, lm) if config.rescore else None
    beam = BeamDecoder(pieces, config.beam, lm, lexicon, (), config.lm, priors[columns], rescorer)
    if phrases := _read_phrases(config, text):
        beam = beam.with_hotwords(phrases)
    return WordDecoder(beam, columns, config.reject)


def _load_rescorer(path: Path, lm: "NgramModel | None") -> "Rescorer":
    from asr.decoding.rescoring import Rescorer
    from asr.lm.recurrent import RecurrentModel

    if lm is None:
        raise ConfigError(f"--rescore {path} needs the n-gram language model that made the hypotheses: add --lm")
    return Rescorer(RecurrentModel.load(path, int8=True), lm)


def _read_phrases(config: DecoderConfig, text: TextConfig) -> list["Phrase"]:
    """The hotwords, normalized as transcripts are."""
    from asr.decoding.hotwords import read_hotwords

    phrases = []
    for phrase in read_hotwords(config.hotwords, config.hotword_boost) if config.hotwords else ():
        phrases.append(replace(phrase, text=normalize(phrase.text, text)))
        if not phrases[-1].text:
            raise DecoderError(
                f"{phrase.origin}hotword '{phrase.text}': the normalizer '{text.normalizer}' leaves nothing of it"
            )
    return phrases


def words_of(tokens: Tokens, pieces: Sequence[str]) -> tuple[DecodedWord, ...]:
    """Words of greedy tokens; a space in a piece begins a new word.

    A word lasts from the first frame of its first token to the end of the last token's last frame.
    """
    words: list[DecodedWord] = []
    text, members = "", []

    def finish() -> None:
        if text:
            confidence = float(np.exp(np.mean(tokens.log_probabilities[members])))
            words.append(DecodedWord(text, int(tokens.starts[members[0]]), int(tokens.ends[members[-1]]), confidence))

    for position, index in enumerate(tokens.indices):
        for part, fragment in enumerate(pieces[index].split(" ")):
            if part:
                finish()
                text, members = "", []
            if fragment:
                text += fragment
                members.append(position)
    finish()
    return tuple(words)
