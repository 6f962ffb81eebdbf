"""Word times against the synthesiser's, which knows when it begins each word; and for any input."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from small_recipe import SYNTHETIC_WORDS, write_recipe

from asr.audio.espeak import Espeak
from asr.config import load_recipe
from asr.data.corpora.synthetic import sentence
from asr.data.manifest import Utterance, write_manifest
from asr.decoding.beam import BeamDecoder
from asr.decoding.config import BeamConfig, DecoderConfig
from asr.decoding.decoder import GreedyDecoder, WordDecoder
from asr.decoding.hotwords import Phrase
from asr.decoding.lexicon import Lexicon
from asr.lm.ngram import NgramModel
from asr.recognition.recognizer import Recognizer
from asr.text.tokenizer import CharacterTokenizer
from asr.training.trainer import train

FRAME = 0.02  # seconds
TOLERANCE = 0.04 + FRAME
LETTERS = ["", *" abcdefghijklmnopqrstuvwxyz"]
Spans = list[tuple[str, float, float]]


def spoken(seed: int) -> tuple[str, Spans]:
    """A sentence and its words' (text, start, end) in seconds, as the synthesiser reports them."""
    text = sentence("commands" if seed % 2 else "digits", np.random.default_rng(seed))
    speaker = Espeak()
    samples, words = speaker.say_words(text, "en-us+klatt", words_per_minute=120, pitch=50)
    seconds = len(samples) / speaker.sample_rate
    starts = [start for _, start in words] + [seconds]
    return text, [(word, a, b) for (word, _), (a, b) in zip(words, itertools.pairwise(starts), strict=True)]


def split(word: str, pieces: list[str]) -> list[int]:
    """A word in pieces, the longest first; in byte-pair units its first one begins with the space."""
    tokens, rest = [], word if " " in pieces else f" {word}"
    while rest:
        piece = max((piece for piece in pieces if piece and rest.startswith(piece)), key=len)
        tokens.append(pieces.index(piece))
        rest = rest[len(piece) :]
    return tokens


def emission(spans: Spans, pieces: list[str], seed: int) -> np.ndarray:
    """Log-probabilities of a network that outputs each word within its time in the recording."""
    random = np.random.default_rng(seed)
    rows = random.uniform(0, 0.002, (int(spans[-1][2] / FRAME) + 1, len(pieces)))
    rows[:, 0] += 0.9
    for word, start, end in spans:
        tokens = split(word, pieces)
        first, last = int(np.ceil(start / FRAME)), int(end / FRAME) - 2  # before the next word there is a space
        for token, frame in zip(tokens, np.linspace(first, last, len(tokens)).round().astype(int), strict=True):
            rows[frame] *= 0.1
            rows[frame, token] = 0.9
        if " " in pieces:
            rows[last + 1, pieces.index(" ")] = 20.0
    return np.log(rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)


def units(texts: list[str]) -> list[str]:
    """Byte-pair units for these texts: each word in two, and letters."""
    words = sorted({word for text in texts for word in text.split()})
    halves = {part for word in words for part in (f" {word[: (len(word) + 1) // 2]}", word[(len(word) + 1) // 2 :])}
    return ["", *sorted((halves | set(LETTERS[2:]) | {f" {letter}" for letter in LETTERS[2:]}) - {""})]


def model(words: set[str], folder: Path) -> NgramModel:
    path = folder / "words.arpa"
    entries = "\n".join(f"-2.0\t{word}" for word in ["<unk>", "<s>", "</s>", *sorted(words)])
    path.write_text(f"\\data\\\nngram 1={len(words) + 3}\n\n\\1-grams:\n{entries}\n\n\\end\\\n", encoding="utf-8")
    return NgramModel.load(path)


def test_the_synthesiser_reports_the_start_of_each_word():
    speaker = Espeak()
    samples, words = speaker.say_words("seven three", "en-us+klatt", words_per_minute=120, pitch=50)
    assert [word for word, _ in words] == ["seven", "three"]
    assert words[0][1] == 0 and 0.25 < words[1][1] < len(samples) / speaker.sample_rate - 0.2


@pytest.mark.parametrize("with_lm", [False, True])
@pytest.mark.parametrize("kind", ["letters", "units"])
def test_words_are_at_the_synthesisers_times(kind, with_lm, tmp_path):
    sentences = [spoken(seed) for seed in range(20)]
    texts = [text for text, _ in sentences]
    assert all(" ".join(word for word, _, _ in spans) == text for text, spans in sentences[:4])
    pieces = LETTERS if kind == "letters" else units(texts)
    lm = model(set(" ".join(texts).split()), tmp_path) if with_lm else None
    decoder = WordDecoder(BeamDecoder(pieces, BeamConfig(word_bonus=1.0 if with_lm else 0.0), lm))
    found = decoder.decode_batch([emission(spans, pieces, seed) for seed, (_, spans) in enumerate(sentences)])
    for (_, spans), decoding in zip(sentences, found, strict=True):
        assert [word.text for word in decoding.words] == [word for word, _, _ in spans]
        for word, (_, start, end) in zip(decoding.words, spans, strict=True):
            assert abs(word.start * FRAME - start) <= TOLERANCE, word
            assert abs(word.end * FRAME - end) <= TOLERANCE, word


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 80),
    st.integers(0, 10**6),
    st.floats(0.1, 8),
    st.integers(1, 30),
    st.sampled_from([["", " ", "a", "b"], ["", " a", "b", " ab", "a", " b"], ["", "我", "们", "a"]]),
    st.sampled_from(["plain", "lexicon", "closed", "hotwords"]),
)
def test_every_word_has_real_times_in_order(frames, seed, sharpness, beam, pieces, kind):
    log_probabilities = noise(frames, len(pieces), seed, sharpness)
    words = ["a", "ab", "b", "ba", "aa"] if "b" in pieces else ["我", "我们", "a"]
    lexicon = Lexicon.of_words(words, pieces) if kind in ("lexicon", "closed") else None
    hotwords = [Phrase(words[0], 2.0)] if kind == "hotwords" else []
    config = BeamConfig(beam=beam, open_vocabulary=kind != "closed", unknown_penalty=-1.0)
    beam_decoder = BeamDecoder(pieces, config, lexicon=lexicon, hotwords=hotwords)
    decoding = WordDecoder(beam_decoder).decode_batch([log_probabilities])[0]
    joined = beam_decoder.lexicon.joined
    assert ("" if joined else " ").join(word.text for word in decoding.words) == decoding.text
    check(decoding.words, frames)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 80), st.integers(0, 10**6))
def test_greedy_words_have_real_times_in_order(frames, seed):
    decoding = GreedyDecoder(CharacterTokenizer("ab ")).decode_batch([noise(frames, 4, seed, 2.0)])[0]
    assert " ".join(word.text for word in decoding.words) == " ".join(decoding.text.split())
    check(decoding.words, frames)


def noise(frames: int, tokens: int, seed: int, sharpness: float) -> np.ndarray:
    logits = sharpness * np.random.default_rng(seed).standard_normal((frames, tokens))
    return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)


def check(words, frames: int) -> None:
    edges = [frame for word in words for frame in (word.start, word.end)]
    assert edges == sorted(edges) and all(0 <= frame <= frames for frame in edges)
    assert all(word.start < word.end and 0 <= word.confidence <= 1 for word in words)


def speak(folder: Path, name: str, count: int, seed: int) -> dict[str, Spans]:
    """Write sentences of three words by one voice with pauses between them; returns their words' times."""
    random, speaker, times, utterances = np.random.default_rng(seed), Espeak(), {}, []
    for number in range(count):
        words = random.choice(["six", "no", "gap"], size=random.integers(1, 5))
        parts, spans, at = [np.zeros(speaker.sample_rate // 5)], [], 0.2
        for word in words:
            samples = speaker.say(str(word), "en-us+klatt", words_per_minute=int(random.integers(120, 170)), pitch=50)
            spans.append((str(word), at, at + len(samples) / speaker.sample_rate))
            pause = np.zeros(int(random.uniform(0.1, 0.4) * speaker.sample_rate))
            parts += [samples, pause]
            at += (len(samples) + len(pause)) / speaker.sample_rate
        path = folder / f"{name}-{number}.wav"
        sound = np.concatenate(parts)
        soundfile.write(path, sound + 0.001 * random.standard_normal(len(sound)), speaker.sample_rate)
        utterances.append(
            Utterance(f"{name}-{number}", path, len(sound) / speaker.sample_rate, " ".join(words), f"{name}-voice")
        )
        times[str(path)] = spans
    write_manifest(folder / f"{name}.jsonl", utterances)
    return times


@pytest.mark.slow
def test_a_trained_network_finds_words_at_the_synthesisers_times(tmp_path):
    speak(tmp_path, "train", 80, 0)
    truth = speak(tmp_path, "dev", 12, 1)
    change = {"model": {"width": 64}, "training": {"epochs": 12}}
    path = train(load_recipe(write_recipe(tmp_path / "run.toml", SYNTHETIC_WORDS, change)))
    for decoder in ("greedy", "beam"):
        recognizer = Recognizer.load(path, decoder=DecoderConfig(decoder=decoder))
        early, late, common = [], [], []
        for sound, spans in truth.items():
            words = recognizer.transcribe(sound).words
            if [word.text for word in words] != [word for word, _, _ in spans]:
                continue
            early += [start - word.start for word, (_, start, _) in zip(words, spans, strict=True)]
            late += [word.end - end for word, (_, _, end) in zip(words, spans, strict=True)]
            common += [min(word.end, b) - max(word.start, a) for word, (_, a, b) in zip(words, spans, strict=True)]
        assert len(common) > 15, "hardly a word was learnt"
        # CTC does not bind a token to its sound: within the word, it may be anywhere.
        assert max(early) < 0.08 and max(late) < 0.08 and min(common) > 0, decoder
