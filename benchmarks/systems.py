"""The decoders that `decoders.py` compares, with one interface, each in its own process.

All receive the same log-probabilities, ARPA file and words (those of the ARPA file that the model's characters can
spell). Language model weights and bonuses are in nats for all, converted here for decoders that use log10.
"""

import importlib.util
import logging
import math
import multiprocessing
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from commands import peak_bytes

NATS = 16.0  # below the best at which a hypothesis is dropped, where a row does not say otherwise
SPACE_LEAD = 12.0  # nats by which the space is likelier than all else in the frame that ends a sentence for flashlight


@dataclass(frozen=True)
class Setup:
    """A decoder's weights, beam, and specific options."""

    beam: int = 64
    lm_weight: float = 0.5
    word_bonus: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)


class Asr:
    """This project, with a closed vocabulary like flashlight's or an open one like pyctcdecode's."""

    needs = ()

    def __init__(self, pieces: Sequence[str], arpa: str):
        from asr.lm.ngram import NgramModel

        self.pieces, self.lm = pieces, NgramModel.load(arpa)

    def configure(self, setup: Setup) -> None:
        from asr.decoding.beam import BeamDecoder
        from asr.decoding.config import BeamConfig

        options = {"beam_nats": NATS, "open_vocabulary": False, **setup.options}
        config = BeamConfig(beam=setup.beam, lm_weight=setup.lm_weight, word_bonus=setup.word_bonus, **options)
        self.decoder = BeamDecoder(self.pieces, config, self.lm)

    def decode(self, emission: np.ndarray) -> str:
        return self.decoder.decode(emission)[0].text

    def decode_batch(self, emissions: Sequence[np.ndarray], threads: int) -> list[str]:
        """A batch in threads, which only this decoder supports."""
        return [found[0].text for found in self.decoder.decode_batch(emissions, threads)]


class Flashlight:
    """flashlight-text's lexicon decoder (Kahn et al. 2022) in C++, with the KenLM in its wheel.

    Its words end with a space, so a frame of space follows each utterance; otherwise the last word would be lost.
    """

    needs = ("flashlight",)

    def __init__(self, pieces: Sequence[str], arpa: str):
        from flashlight.lib.text.decoder import SmearingMode, Trie
        from flashlight.lib.text.decoder.kenlm import KenLM
        from flashlight.lib.text.dictionary import Dictionary

        index = {piece: token for token, piece in enumerate(pieces)}
        self.tokens, self.space = len(pieces), index[" "]
        self.dictionary = Dictionary()
        words = spellable(arpa, pieces)
        for word in [*words, "<unk>"]:
            self.dictionary.add_entry(word)
        self.lm = KenLM(arpa, self.dictionary)
        self.trie = Trie(self.tokens, self.space)
        start = self.lm.start(False)
        for word in words:
            number = self.dictionary.get_index(word)
            _, score = self.lm.score(start, number)
            self.trie.insert([*(index[character] for character in word), self.space], number, score)
        self.trie.smear(SmearingMode.MAX)

    def configure(self, setup: Setup) -> None:
        from flashlight.lib.text.decoder import CriterionType, LexiconDecoder, LexiconDecoderOptions

        options = LexiconDecoderOptions(
            beam_size=setup.beam,
            beam_size_token=setup.options.get("top_tokens", self.tokens),
            beam_threshold=setup.options.get("beam_nats", NATS),
            lm_weight=setup.lm_weight * math.log(10),
            word_score=setup.word_bonus,
            unk_score=-math.inf,
            sil_score=0.0,
            log_add=setup.options.get("log_add", False),
            criterion_type=CriterionType.CTC,
        )
        unknown = self.dictionary.get_index("<unk>")
        self.decoder = LexiconDecoder(options, self.trie, self.lm, self.space, 0, unknown, [], False)

    def decode(self, emission: np.ndarray) -> str:
        padded = end_with_space(emission, self.space)
        self.decoder.decode_begin()
        self.decoder.decode_step(padded.ctypes.data, *padded.shape)
        self.decoder.decode_end()
        words = self.decoder.get_best_hypothesis(0).words
        return " ".join(self.dictionary.get_entry(word) for word in words if word >= 0)


class Torchaudio:
    """torchaudio's `ctc_decoder`, which is flashlight's with its own lexicon files and tensors around it."""

    needs = ("flashlight", "torchaudio")

    def __init__(self, pieces: Sequence[str], arpa: str):
        import torch
        from flashlight.lib.text.decoder.kenlm import KenLM
        from flashlight.lib.text.dictionary import create_word_dict, load_words

        torch.set_num_threads(1)
        self.folder = tempfile.TemporaryDirectory()
        self.tokens = ["-", *("|" if piece == " " else piece for piece in pieces[1:])]
        self.space = pieces.index(" ")
        self.lexicon = os.path.join(self.folder.name, "lexicon.txt")
        with open(self.lexicon, "w", encoding="utf-8") as stream:
            stream.writelines(f"{word} {' '.join(word)} |\n" for word in spellable(arpa, pieces))
            stream.write("<unk> |\n")
        # Given a file name, each new decoder would read the file again.
        self.lm = KenLM(arpa, create_word_dict(load_words(self.lexicon)))

    def configure(self, setup: Setup) -> None:
        from torchaudio.models.decoder import ctc_decoder

        self.decoder = ctc_decoder(
            lexicon=self.lexicon,
            tokens=self.tokens,
            lm=self.lm,
            beam_size=setup.beam,
            beam_threshold=setup.options.get("beam_nats", NATS),
            lm_weight=setup.lm_weight * math.log(10),
            word_score=setup.word_bonus,
            log_add=setup.options.get("log_add", False),
        )

    def decode(self, emission: np.ndarray) -> str:
        import torch

        padded = torch.from_numpy(end_with_space(emission, self.space))
        return " ".join(self.decoder(padded[None])[0][0].words)


class Pyctcdecode:
    """pyctcdecode with the kenlm module: the search in Python, the n-grams in C++."""

    needs = ("pyctcdecode", "kenlm")

    def __init__(self, pieces: Sequence[str], arpa: str):
        logging.getLogger("pyctcdecode").setLevel(logging.ERROR)
        from pyctcdecode import build_ctcdecoder

        self.decoder = build_ctcdecoder(list(pieces), arpa, unigrams=spellable(arpa, pieces))

    def configure(self, setup: Setup) -> None:
        self.decoder.reset_params(alpha=float(setup.lm_weight), beta=float(setup.word_bonus))
        self.options = {"beam_width": setup.beam, **setup.options}

    def decode(self, emission: np.ndarray) -> str:
        return self.decoder.decode(emission, **self.options)


KINDS = {"asr": Asr, "flashlight": Flashlight, "torchaudio": Torchaudio, "pyctcdecode": Pyctcdecode}


def missing(kind: str) -> list[str]:
    """Modules that a decoder needs but that are not installed."""
    return [name for name in KINDS[kind].needs if importlib.util.find_spec(name) is None]


def spellable(arpa: str, pieces: Sequence[str]) -> list[str]:
    """The words of an ARPA file that the characters can spell, sorted."""
    characters = set("".join(pieces)) - {" "}
    words = set()
    with open(arpa, encoding="utf-8") as stream:
        for line in stream:
            if line.startswith("\\2-grams:") or line.startswith("\\end\\"):
                break
            columns = line.split("\t")
            if len(columns) > 1 and set(columns[1].strip()) <= characters:
                words.add(columns[1].strip())
    return sorted(words)


def end_with_space(emission: np.ndarray, space: int) -> np.ndarray:
    """Log-probabilities `(frames, tokens)` followed by a frame in which only a space is likely."""
    last = np.full((1, emission.shape[1]), -SPACE_LEAD, np.float32)
    last[0, space] = 0.0
    return np.concatenate([emission, last])


@dataclass(frozen=True)
class Run:
    """A process's result for some utterances."""

    texts: list[str]
    seconds: np.ndarray  # (utterances,) of processor time; one number, of the clock, for a batch in threads
    peak_bytes: int  # the most memory that the process has had, so far

    @property
    def total(self) -> float:
        """Seconds for all of them."""
        return float(self.seconds.sum())


class Worker:
    """A decoder in its own process, pinned to one core."""

    def __init__(self, kind: str, pieces: Sequence[str], arpa: str, versions: dict[str, list[np.ndarray]]):
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, kind, pieces, arpa, versions), daemon=True)
        self._process.start()
        other.close()
        self.load_seconds, self.load_bytes = self._receive()

    def run(self, version: str, indices: Sequence[int], setup: Setup, limit: float = math.inf, threads: int = 0) -> Run:
        """Decode utterances one by one for `limit` seconds (at least one utterance), or with `threads` all of them as a
        batch."""
        self._pipe.send((version, list(indices), replace(setup), limit, threads))
        return self._receive()

    def close(self) -> None:
        """End the process."""
        self._pipe.send(None)
        self._process.join()

    def _receive(self):
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise RuntimeError("a decoder's process has died; its output is above") from None
        if isinstance(answer, Exception):
            raise answer
        return answer


def _serve(pipe, kind: str, pieces: Sequence[str], arpa: str, versions: dict[str, list[np.ndarray]]) -> None:
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[-1:])
    try:
        start = time.perf_counter()
        system = KINDS[kind](pieces, arpa)
        system.configure(Setup())
        system.decode(versions[next(iter(versions))][0][:10])  # what is compiled or loaded on first use
        pipe.send((time.perf_counter() - start, peak_bytes()))
        current = None
        while job := pipe.recv():
            version, indices, setup, limit, threads = job
            if setup != current:
                system.configure(setup)
                current = setup
            if threads:
                os.sched_setaffinity(0, cores)
                start = time.perf_counter()
                texts = system.decode_batch([versions[version][index] for index in indices], threads)
                seconds = [time.perf_counter() - start]
                os.sched_setaffinity(0, cores[-1:])
            else:
                texts, seconds = _decode_each(system, [versions[version][index] for index in indices], limit)
            pipe.send(Run(texts, np.array(seconds), peak_bytes()))
    except Exception as error:
        pipe.send(RuntimeError(f"{kind}: {type(error).__name__}: {error}"))


def _decode_each(system, emissions: Sequence[np.ndarray], limit: float) -> tuple[list[str], list[float]]:
    """Texts and seconds of processor time, on which other programs have less influence than on wall-clock time."""
    texts, seconds = [], []
    for emission in emissions:
        start = time.process_time()
        texts.append(system.decode(emission))
        seconds.append(time.process_time() - start)
        if sum(seconds) > limit:
            break
    return texts, seconds
