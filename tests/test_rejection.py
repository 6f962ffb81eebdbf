"""Rejection of words outside the vocabulary: thresholds with their errors, and `reject`."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_confidence import SURE, said, speech

from asr.data.manifest import Utterance
from asr.decoding.config import BeamConfig, DecoderConfig
from asr.decoding.decoder import make_decoder
from asr.evaluation import rejection as module
from asr.evaluation.metrics import evaluate
from asr.evaluation.rejection import measure_rejection, rejection
from asr.evaluation.report import html_report, json_report, markdown_report
from asr.text.config import TextConfig
from asr.text.tokenizer import CharacterTokenizer
from asr.transcript import Transcript, Word

TOKENIZER = CharacterTokenizer(" abc")
SPOKEN = {"ab": said({"a": 0.999}, {"b": 0.999}), "ac": SURE, "cb": said({"c": 0.999}, {"b": 0.999})}


def transcript(decoding, samples: int) -> Transcript:
    words = tuple(Word(word.text, 0.0, 0.0, word.confidence) for word in decoding.words)
    return Transcript(decoding.text, words, samples / 16000)


def decode(search: DecoderConfig, text: str):
    return make_decoder(search, TOKENIZER, TextConfig()).decode_batch([speech(SPOKEN[text], TOKENIZER.pieces)])[0]


@pytest.fixture
def search(tmp_path) -> DecoderConfig:
    (tmp_path / "words.txt").write_text("ab\nac\ncb\n")
    return DecoderConfig(lexicon=tmp_path / "words.txt", beam=BeamConfig(open_vocabulary=False))


def test_errors_of_thresholds():
    found = rejection(inside=np.linspace(0.5, 1.0, 200), outside=[0.0, 0.4, 0.6, 0.9])
    none, *others = found.thresholds
    assert (none.confidence, none.false_rejects, none.false_accepts) == (0, 0, 0.75)
    assert [each.confidence for each in others] == [0.5, 0.51, 0.52]  # in hundredths, never above the wanted share
    assert all(each.false_rejects <= 0.05 for each in others) and others[-1].false_accepts == 0.5
    assert (found.inside, found.outside) == (200, 4)


def test_words_of_less_confidence_are_left_out(search):
    for kind in ("beam", "greedy"):
        config = DecoderConfig() if kind == "greedy" else search
        assert decode(config, "ab").text == "ab"
        rejecting = dataclasses.replace(config, reject=1.0)
        assert (decode(rejecting, "ab").text, decode(rejecting, "ab").words) == ("", ())
        assert "reject 1" in rejecting.describe()


def test_each_word_is_recognised_without_itself_and_the_report_has_the_errors(search, monkeypatch):
    utterances = [Utterance(f"{text}{n}", Path("a.wav"), 1.0, text) for text in SPOKEN for n in range(4)]
    model = SimpleNamespace(
        file=SimpleNamespace(tokenizer=TOKENIZER, text=TextConfig(), phones=(), priors=()),
        sample_rate=16000,
        to_transcript=transcript,
    )
    emissions = {text: speech(frames, TOKENIZER.pieces) for text, frames in SPOKEN.items()}
    monkeypatch.setattr(module, "utterance_emissions", lambda model, asked, _: [emissions[u.text] for u in asked])
    pairs = [(u, transcript(decode(search, u.text), 16000)) for u in utterances]
    evaluation = evaluate(pairs, text=TextConfig(), model="m", manifests=["test.jsonl"])
    assert not evaluation.words.errors

    found = measure_rejection(model, search, evaluation.scored, 60.0)
    assert (found.inside, found.outside) == (12, 12)
    none, *others = found.thresholds
    assert none.false_rejects == 0 and none.false_accepts > 0.5  # a closed vocabulary takes others for its own
    assert all(each.false_accepts == 0 and each.confidence > 0.9 for each in others)

    reported = dataclasses.replace(evaluation, rejection=found)
    assert json.loads(json_report(reported))["rejection"]["outside"] == 12
    for page in (markdown_report, html_report):
        assert "--reject" in page(reported) and "--reject" not in page(evaluation)

    free = dataclasses.replace(search, beam=BeamConfig(open_vocabulary=True))
    assert measure_rejection(model, free, evaluation.scored, 60.0) is None
    assert measure_rejection(model, DecoderConfig(), evaluation.scored, 60.0) is None
