"""Recordings of hours: the words of their utterances, in memory that does not grow."""

import subprocess
import sys
from pathlib import Path

import jiwer
import numpy as np
import pytest
import soundfile
from tones import write_corpus

from asr.audio.io import load_audio
from asr.config import Recipe
from asr.recognition.recognizer import Recognizer
from asr.training.trainer import train
from asr.utils.config_io import from_values

RECIPE = {
    "features": {"mels": 20},
    "augment": {"frequency_stretch": 0.0, "time_masks": 0, "frequency_masks": 0},
    "model": {"subsampling": 2, "channels": 4, "layers": 1, "width": 32, "dropout": 0.0},
    "training": {
        "epochs": 12,
        "patience": 12,
        "batch_seconds": 20,
        "learning_rate": 1e-2,
        "average": 2,
        "precision": "float32",
    },
}
SETS = (("train", 60, 0), ("dev", 30, 1))  # name, utterances, seed


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Recognizer, Path]:
    """A recogniser of sentences in the language of tones, up to half a minute long, and the folder with its corpus."""
    folder = tmp_path_factory.mktemp("sentences")
    manifests = {name: [str(write_corpus(folder, name, count, seed, words=30))] for name, count, seed in SETS}
    values = RECIPE | {"output": str(folder / "run"), "data": {"train": manifests["train"], "dev": manifests["dev"]}}
    return Recognizer.load(train(from_values(Recipe, values, "recipe")), voice_activity=False), folder


@pytest.mark.slow
def test_an_hour_of_joined_recordings_has_the_words_of_its_parts(trained):
    recognizer, folder = trained
    sounds = sorted(folder.glob("dev-*.wav"))
    # With what is at the ends, as long and as loud as between the words of a sentence.
    gap = (0.01 * np.random.default_rng(0).standard_normal(1600)).astype(np.float32)
    samples = [np.append(load_audio(path).samples, gap) for path in sounds]
    texts = [transcript.text for path in sounds for transcript in [recognizer.transcribe(path)]]
    references = read_texts(folder / "dev.jsonl", sounds)
    rate = jiwer.wer(references, texts)
    assert rate < 0.05, "a recogniser that knows nothing proves nothing"

    order = np.random.default_rng(0).integers(0, len(sounds), 400)
    joined = folder / "joined.flac"
    soundfile.write(joined, np.concatenate([samples[index] for index in order]), 16000)
    whole = recognizer.transcribe(joined)
    assert whole.duration > 3600
    apart = jiwer.wer([references[index] for index in order], [texts[index] for index in order])
    assert jiwer.wer(" ".join(references[index] for index in order), whole.text) == pytest.approx(apart, abs=0.003)
    assert all(word.start <= word.end <= whole.duration for word in whole.words)
    starts = [word.start for word in whole.words]
    assert starts == sorted(starts)


def read_texts(manifest: Path, sounds: list[Path]) -> list[str]:
    from asr.data.manifest import read_manifest

    texts = {str(utterance.audio_filepath): utterance.text for utterance in read_manifest(manifest)}
    return [texts[str(path)] for path in sounds]


@pytest.mark.slow
def test_memory_does_not_grow_with_length(model_path, tmp_path):
    peaks = {}
    for minutes in (0, 10, 120):
        sound = tmp_path / f"{minutes}.wav"
        random = np.random.default_rng(0)
        with soundfile.SoundFile(sound, "w", 16000, 1) as file:
            file.write(0.1 * random.standard_normal(16000))
            for _ in range(minutes):
                file.write(0.1 * random.standard_normal(60 * 16000))
        measure = f"import resource; from asr.cli.main import main; main(['transcribe', {str(sound)!r}, '-m', "
        measure += f"{str(model_path)!r}, '-o', {str(tmp_path / 'out')!r}]); "
        measure += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        done = subprocess.run([sys.executable, "-c", measure], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        peaks[minutes] = int(done.stdout.splitlines()[-1]) * (1 if sys.platform == "darwin" else 1024)
    assert peaks[120] - peaks[10] < 200e6
    assert peaks[120] - peaks[0] < 1e9, "beyond the program and its model"
