"""A corpus of two recordings for `asr prepare`, whose utterances each test lists in a table of its own."""

import json

import pytest
from candidates import sound


def table(path, *records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def line(id, audio="a.wav", text="one", **further):
    return {"id": id, "audio_filepath": audio, "text": text, **further}


def json_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def corpus(tmp_path):
    sound(tmp_path / "corpus/a.wav", 1.0)
    sound(tmp_path / "corpus/talk.flac", 10.0, 44100)
    return tmp_path / "corpus"


@pytest.fixture
def output(tmp_path):
    return tmp_path / "data"
