"""Beam search over whole utterances, batches and streams: log-probabilities -> hypotheses, the best first."""

import copy
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import numpy as np

from asr.decoding.arrays import NO_WORD, NODE, ROOT, Rules, Search, Spelling, frozen, new_beam, new_work
from asr.decoding.confidence import word_shares
from asr.decoding.config import BeamConfig
from asr.decoding.hotwords import Phrase, compile_hotwords, no_hotwords
from asr.decoding.hypothesis import Hypothesis
from asr.decoding.lexicon import Lexicon
from asr.decoding.prefixes import endings, forget, trace
from asr.decoding.rescoring import Rescorer
from asr.decoding.search import advance
from asr.decoding.vocabulary import NewWord, add_words
from asr.errors import DecoderError
from asr.lm.ngram import NgramModel
from asr.lm.trie import NgramArrays

T = TypeVar("T")
MOST_NATS = 600.0  # between the best prefix and the worst: what 64-bit numbers hold
LEAST_AHEAD = -300.0  # nats: look-ahead must stay above zero
#: Prefixes with the same future that a full beam keeps, if several hypotheses are wanted. More of them crowd out
#: others: of 51 utterances of librispeech-dev the first hypothesis has 10.9% errors with 1, 11.1% with 4 and 11.5% with
#: 50 of them, the best of 50 hypotheses 9.9, 9.1 and 8.7%.
HISTORIES = 4
SUM_TOLERANCE = 0.01  # nats by which a frame's probabilities may miss 1


class BeamDecoder:
    """Prefix beam search with or without a language model, a lexicon and hotwords.

    `pieces` are the texts of the model's tokens, the blank first; `priors` are their average probabilities over many
    frames, which only `config.prior_scale` needs. Without a lexicon the words are those of the language model; without
    either, any token sequence is allowed. A `rescorer` reranks `config.rescored` hypotheses.
    """

    def __init__(
        self,
        pieces: Sequence[str],
        config: BeamConfig | None = None,
        lm: NgramModel | None = None,
        lexicon: Lexicon | None = None,
        hotwords: Sequence[Phrase] = (),
        name: str = "language model",
        priors: Sequence[float] = (),
        rescorer: Rescorer | None = None,
    ):
        self.pieces, self.config, self.rescorer = pieces, config or BeamConfig(), rescorer
        self._log_priors = np.log(np.asarray(priors, np.float32))
        if lexicon is None:
            lexicon = Lexicon.of_model(lm, pieces, name) if lm else Lexicon.none(pieces)
        self.lexicon = lexicon
        is_open = lexicon.is_open(self.config.open_vocabulary)
        self._tree, self._look_ahead = lexicon.compile(lm)
        self._model, self._is_open = lm, is_open
        self._lm = lm.arrays if lm else _no_model()
        self._begin = lm.begin if lm else 0
        self._spelling = _spelling(pieces)
        self._prefer(hotwords)
        self._weigh()

    def with_config(self, config: BeamConfig) -> "BeamDecoder":
        """The same decoder with other weights or widths, at no cost; the vocabulary stays open or closed."""
        other = copy.copy(self)
        other.config = config
        other._weigh()
        return other

    def without_rescorer(self) -> "BeamDecoder":
        """The same decoder with the search's own ranking."""
        if not self.rescorer:
            return self
        other = copy.copy(self)
        other.rescorer = None
        other._weigh()
        return other

    def with_hotwords(self, phrases: Sequence[Phrase]) -> "BeamDecoder":
        """The same decoder that prefers these phrases too. Words that a closed vocabulary lacks are added to it, which
        takes a second or two for the English lexicon.

        Raises `DecoderError` for a word that cannot be written or pronounced.
        """
        other = copy.copy(self)
        words = dict.fromkeys(word for phrase in phrases for word in phrase.text.split())
        if not self._is_open and self.lexicon.is_spelled and not words.keys() <= set(self.lexicon.words):
            new = [NewWord(word, (), phrase.origin) for phrase in phrases for word in phrase.text.split()]
            other.lexicon = add_words(self.lexicon, new, self.pieces)
            other._tree, other._look_ahead = other.lexicon.compile(self._model)
        other._prefer([*self.hotwords, *phrases])
        other._weigh()
        return other

    def _prefer(self, phrases: Sequence[Phrase]) -> None:
        self.hotwords, pieces = tuple(phrases), self.pieces
        if phrases:
            self._hotwords = compile_hotwords(phrases, pieces, self.lexicon, self._is_open)
        else:
            self._hotwords = no_hotwords(len(pieces))

    def _weigh(self) -> None:
        if self.config.prior_scale and not len(self._log_priors):
            raise DecoderError(
                f"prior_scale {self.config.prior_scale:g}: this model file is older than priors and has none; "
                "train it again, or omit prior_scale"
            )
        weight = self.config.lm_weight if self._model else 0.0
        graph = self._tree._replace(ahead=frozen(np.exp(np.maximum(weight * self._look_ahead, LEAST_AHEAD))))
        rules = self._make_rules(self._model, self._is_open, bool(self.hotwords))
        self._search = Search(graph, self._lm, self._hotwords, rules)

    def decode(self, emission: np.ndarray, before: Sequence[str] = ()) -> list[Hypothesis]:
        """The likeliest hypotheses of one utterance: log-probabilities `(frames, tokens)`, blank 0.

        At most `config.hypotheses` of them, the best first; one empty hypothesis when nothing else is possible.
        `before` are the words before the utterance, for the rescorer. Raises `DecoderError` for a wrong width, NaN,
        +inf, or rows that are not log-probabilities.
        """
        stream = self.stream()
        stream.push(emission)
        return stream.finish(before)

    @property
    def searched(self) -> int:
        """Hypotheses that the search has to find."""
        config = self.config
        return max(config.hypotheses, config.rescored) if self.rescorer else config.hypotheses

    def decode_batch(self, emissions: Sequence[np.ndarray], threads: int | None = None) -> list[list[Hypothesis]]:
        """`decode` for each utterance's `(frames, tokens)`, on all cores by default: the search runs outside Python's
        lock."""
        return self.map(self.decode, emissions, threads)

    def map(
        self, function: Callable[[np.ndarray], T], emissions: Sequence[np.ndarray], threads: int | None = None
    ) -> list[T]:
        """`function` of each utterance's log-probabilities `(frames, tokens)`, in threads."""
        threads = min(threads or len(os.sched_getaffinity(0)), max(1, len(emissions)))
        if threads == 1:
            return [function(emission) for emission in emissions]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(function, emissions))

    def stream(self) -> "BeamStream":
        """A search that takes its frames piece by piece."""
        return BeamStream(self)

    def discounted(self, emission: np.ndarray) -> np.ndarray:
        """Log-probabilities `(frames, tokens)` without `prior_scale` of the tokens' priors; they still sum to 1.

        So for a hybrid of network and hidden Markov model in Bourlard & Morgan 1994, for CTC in Miao et al. 2015.
        """
        if not self.config.prior_scale:
            return emission
        emission = emission - self.config.prior_scale * self._log_priors
        return emission - np.logaddexp.reduce(emission, axis=1, keepdims=True)

    def _make_rules(self, lm: NgramModel | None, is_open: bool, has_hotwords: bool) -> Rules:
        config = self.config
        unknown = 0.0
        if self.lexicon.words:
            unknown = config.unknown_penalty
            if lm:
                unknown += config.lm_weight * float(lm.arrays.logp[1 + lm.unknown])
        return Rules(
            width=config.beam,
            histories=min(self.searched, HISTORIES),
            floor=float(np.exp(-min(config.beam_nats, MOST_NATS))),
            top_tokens=config.top_tokens or len(self.pieces),
            blank_skip=config.blank_skip if config.blank_skip < 1 else 2.0,
            lm_weight=config.lm_weight if lm else 0.0,
            word_bonus=config.word_bonus,
            unknown_penalty=config.unknown_penalty if self.lexicon.words else 0.0,
            ahead_unknown=float(np.exp(max(unknown, LEAST_AHEAD))),
            lm_unknown=lm.unknown if lm else 0,
            new_word=self.lexicon.new_word_logp,
            lm_end=lm.end if lm else -1,
            has_lm=lm is not None,
            is_open=is_open,
            joined=self.lexicon.joined,
            has_hotwords=has_hotwords,
        )


class BeamStream:
    """A search in progress: frames are pushed in pieces of any size; the result equals that of all at once."""

    def __init__(self, decoder: BeamDecoder):
        self._decoder = decoder
        width = decoder.config.beam
        self._beam = new_beam(width, decoder._begin, decoder._hotwords.begin)
        self._work = new_work(width, len(decoder.pieces))

    @property
    def frames(self) -> int:
        """Frames processed so far."""
        return int(self._beam.counts[2])

    def push(self, emission: np.ndarray) -> None:
        """Process more frames `(frames, tokens)`."""
        decoder = self._decoder
        emission = frozen(decoder.discounted(check_emission(emission, len(decoder.pieces))))
        frame = 0
        while frame < len(emission):
            frame = advance(emission, frame, decoder._search, self._beam, self._work)
            if frame < len(emission):
                self._make_room()

    def fork(self) -> "BeamStream":
        """A search that continues from here on its own."""
        other = copy.copy(self)  # the work arrays hold nothing between frames
        other._beam = type(self._beam)(*(array.copy() for array in self._beam))
        return other

    def finish(self, before: Sequence[str] = ()) -> list[Hypothesis]:
        """The likeliest hypotheses if the utterance, after the words `before`, ends here. More frames may be pushed
        afterwards."""
        decoder = self._decoder
        found = endings(decoder._search, self._beam, decoder._spelling)
        if not len(found):
            return [Hypothesis("", (), -np.inf, -np.inf, 0.0, (), ())]
        # Several endings may have the same words, by other spellings or a space at the end. Their acoustic
        # probabilities add up.
        scores = found["score"]
        _, first, group = np.unique(found["words"], return_index=True, return_inverse=True)
        order = np.lexsort((-scores, group))
        best = order[np.searchsorted(group[order], np.arange(len(first)))]
        excess = np.log(np.bincount(group, np.exp(scores - scores[best][group])))
        totals = scores[best] + excess
        chosen = np.lexsort((best, -totals))[: decoder.searched]
        hypotheses = [self._hypothesis(found[best[place]], excess[place]) for place in chosen]
        if decoder.rescorer:
            ranked = decoder.rescorer.rank(hypotheses, decoder.config, before)[: decoder.config.hypotheses]
            places, hypotheses = zip(*ranked, strict=True)
            chosen = chosen[list(places)]
        shares = word_shares(best[chosen[0]], found, self._beam, decoder._search.graph, decoder._spelling)
        return [replace(hypotheses[0], shares=tuple(shares.tolist())), *hypotheses[1:]]

    def _hypothesis(self, ending: np.void, excess: float) -> Hypothesis:
        decoder, lexicon = self._decoder, self._decoder.lexicon
        tokens, words, spans = _words(ending["node"], ending["word"], self._beam.nodes, decoder)
        text = lexicon.separator.join(words)
        score, acoustic = float(ending["score"] + excess), float(ending["acoustic"] + excess)
        return Hypothesis(text, tuple(words), score, acoustic, float(ending["lm"]), tuple(tokens), tuple(spans))

    def _make_room(self) -> None:
        forget(self._beam)
        if 2 * self._beam.counts[1] > len(self._beam.nodes):
            more = np.zeros(len(self._beam.nodes), NODE)
            self._beam = self._beam._replace(nodes=np.concatenate([self._beam.nodes, more]))
        if self._beam.counts[3] == len(self._beam.moments):
            moments, held = (np.concatenate([array, np.zeros_like(array)]) for array in self._beam[4:])
            self._beam = self._beam._replace(moments=moments, held=held)


def check_emission(emission: np.ndarray, tokens: int) -> np.ndarray:
    """Log-probabilities `(frames, tokens)` as contiguous float32; raises `DecoderError` for anything else."""
    emission = np.asarray(emission)
    if emission.ndim != 2 or emission.shape[1] != tokens:
        raise DecoderError(
            f"log-probabilities of shape {emission.shape}; needs (frames, {tokens}), one column per token"
        )
    if emission.dtype.kind not in "fiu":
        raise DecoderError(f"log-probabilities of type {emission.dtype}; needs real numbers")
    emission = np.ascontiguousarray(emission, np.float32)
    if not len(emission):
        return emission
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.exp(emission).sum(axis=1)
    bad = np.flatnonzero(~(np.abs(np.log(np.maximum(sums, 1e-30))) < SUM_TOLERANCE))
    if len(bad):
        frame = bad[0]
        what = (
            "hold NaN"
            if np.isnan(emission[frame]).any()
            else f"have probabilities that sum to {sums[frame]:.4g}, not 1"
        )
        raise DecoderError(f"frame {frame}: the values {what}; give the output of log_softmax")
    return emission


def _words(node: int, last: int, nodes: np.ndarray, decoder: BeamDecoder) -> tuple[list[int], list[str], list]:
    """A prefix's tokens, its words, and each word's (first token, token after the last)."""
    lexicon, pieces = decoder.lexicon, decoder.pieces
    path = trace(nodes, node)
    tokens, words, spans = path["token"].tolist(), [], []

    def finish(word: int, first: int, end: int) -> None:
        text = lexicon.words[word] if word >= 0 else "".join(pieces[token] for token in tokens[first:end]).strip(" ")
        if text:
            words.append(text)
            spans.append((first, end))

    first = 0
    begins = lexicon.starts[path["token"]] != 0
    if lexicon.joined:
        begins &= path["word"] != NO_WORD
    for place in np.flatnonzero(begins).tolist():
        within = bool(lexicon.joined and path["lexical"][place] == ROOT)  # the token is the word's last one
        finish(path["word"][place], first, place + within)
        first = place + (within or pieces[tokens[place]] == " ")
    finish(last, first, len(tokens))
    return tokens, words, spans


def _spelling(pieces: Sequence[str]) -> Spelling:
    """Polynomial hashes of the pieces' texts without spaces, modulo 2^64."""
    base, mask = 0x100000001B3, (1 << 64) - 1
    codes, powers = [], []
    for piece in pieces:
        code, power = 0, 1
        for character in reversed(piece.replace(" ", "")):
            code = (code + (ord(character) + 1) * power) & mask
            power = power * base & mask
        codes.append(code)
        powers.append(power)
    return Spelling(frozen(np.array(codes, np.uint64)), frozen(np.array(powers, np.uint64)))


def _no_model() -> NgramArrays:
    """Placeholders for a language model's arrays: compiled code always takes arguments of the same types."""
    kinds = (np.int32, np.float32, np.float32, np.int32, np.int32, np.int32)
    return NgramArrays(*(frozen(np.zeros(1, kind)) for kind in kinds))
