"""asr.data.dataset: transcripts that cannot be trained on."""

import dataclasses
import json

import pytest

from asr.config import Recipe
from asr.data.config import DataConfig
from asr.data.dataset import load_corpora
from asr.errors import TrainingError
from asr.text.config import TextConfig


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "a.wav").touch()

    def make(text, **options):
        for name in ("train", "dev"):
            lines = [
                {"id": f"{name}-{n}", "audio_filepath": "a.wav", "duration": 5.0, "text": each}
                for n, each in enumerate(("yes no", text if name == "train" else "no"))
            ]
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        data = DataConfig((tmp_path / "train.jsonl",), (tmp_path / "dev.jsonl",))
        return dataclasses.replace(Recipe(), data=data, text=TextConfig(**options))

    return make


@pytest.mark.parametrize("text", ["<s> yes </s>", "[noise] yes [noise]", "yes <unk>"])
def test_tags_in_transcripts_are_an_error_with_their_counts(recipe, text):
    tag = text.split()[-1]
    with pytest.raises(TrainingError, match=r"train\.jsonl: tags in the transcripts: ") as caught:
        load_corpora(recipe(text))
    assert f"'{tag}' ({text.count(tag)})" in str(caught.value)


def test_tags_that_are_replaced_are_no_error(recipe):
    train, _, _ = load_corpora(recipe("yes [noise]", normalizer="nfc", replace={"[noise]": ""}))
    assert list(train.texts) == ["yes no", "yes"]


@pytest.mark.parametrize(("alphabet", "lacking"), [("yesno", "' ' (1)"), ("yeso ", "'n' (2)")])
def test_training_characters_outside_the_given_alphabet_are_named(recipe, alphabet, lacking):
    with pytest.raises(TrainingError, match=r"train\.jsonl: characters that the alphabet lacks") as caught:
        load_corpora(recipe("no", alphabet=alphabet))
    assert lacking in str(caught.value)
