"""A model with its decoder's files, and a model card made from its report, as a repository on the Hugging Face Hub."""

from pathlib import Path

from asr.decoding.config import decoder_file, load_decoder
from asr.errors import AsrError, ConfigError
from asr.model.model_file import ModelFile, load_model
from asr.punctuation.labeller import punctuation_file
from asr.utils.files import read_text
from asr.utils.storage import MODEL_NAME

CARD = """---
pipeline_tag: automatic-speech-recognition
tags: [automatic-speech-recognition, ctc, lstm]
---

# {name}

A speech recognition model of [small-asr](https://pypi.org/project/small-asr/), with {parameters:,} parameters.

```sh
pip install 'small-asr[remote]'
asr transcribe talk.wav --model hf://{repository}
```

{training}
"""


def push(model: Path, repository: str, report: Path | None, private: bool = False) -> str:
    """Upload a model file in one commit, creating the repository USER/NAME if there is none; its address.

    With it go its decoder.toml, the files that decoder.toml names, and a model card with the report, if one is given.
    Raises `AsrError` when the Hub refuses, `ModelFileError` or `ConfigError` for a model that cannot be used elsewhere.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    repository = repository.removeprefix("hf://").strip("/")
    if repository.count("/") != 1:
        raise ConfigError(f"{repository}: not the name of a repository; give USER/NAME")
    card = model_card(load_model(model), repository, report)
    contents = {MODEL_NAME: model, **_beside(model)}
    operations = [CommitOperationAdd(name, str(path)) for name, path in contents.items()]
    operations.append(CommitOperationAdd("README.md", card.encode()))
    try:
        api = HfApi()
        address = api.create_repo(repository, private=private, exist_ok=True)
        api.create_commit(repository, operations, commit_message=f"Upload {model.name}")
    except Exception as error:  # of the Hub's client and of the HTTP library below it
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise AsrError(f"hf://{repository}: {reason}; log in with `hf auth login` or set HF_TOKEN") from error
    return str(address)


def _beside(model: Path) -> dict[str, Path]:
    """The files that belong to a model, by their names in its folder."""
    decoder = decoder_file(model)
    paths = [path for path in (decoder, punctuation_file(model)) if path and path.is_file()]
    paths += load_decoder(model).files
    folder = model.parent.resolve()
    for path in paths:
        if not path.is_file():
            raise ConfigError(f"{decoder}: names {path}, which is missing; copy it there or leave it out")
        if not path.resolve().is_relative_to(folder):
            raise ConfigError(f"{decoder}: names {path}, which is not below its folder; copy it there and name that")
    return {path.resolve().relative_to(folder).as_posix(): path for path in paths}


def model_card(file: ModelFile, repository: str, report: Path | None) -> str:
    """The card in Markdown: how to use the model, its training data and, if given, the `report.md` of a report folder
    of `asr evaluate`."""
    training = file.training
    told = ""
    if training:
        kind = "synthetic speech" if training.get("synthetic") else "speech"
        told = (
            f"Trained on {training['hours']:g} h of {kind}: {training['utterances']} utterances of "
            f"{training['speakers']} speakers."
        )
    name = repository.partition("/")[2]
    card = CARD.format(name=name, repository=repository, parameters=file.parameter_count, training=told)
    if report is None:
        return card
    text = read_text(report / "report.md", ConfigError, "give the folder that `asr evaluate -o` wrote")
    return card + "\n" + text.replace("# ", "## ", 1)
