"""Descriptions of model files, language models, manifests and sound files."""

import math
import os
from collections.abc import Iterable
from pathlib import Path

from asr.audio.io import probe
from asr.data.manifest import manifest_stem, read_manifest
from asr.errors import AsrError, ModelFileError, one_line
from asr.lm import ARPA_NAMES
from asr.lm.recurrent_file import is_recurrent_file, read_recurrent
from asr.punctuation.model_file import is_punctuation_file, load_punctuation
from asr.text.phones import phone_of
from asr.utils.local_copy import local_copy
from asr.utils.storage import MODEL_NAME, in_folder, is_url


def describe(path: Path) -> str:
    """A table of what a file contains, by its suffix: `.safetensors` or `.onnx` a model, `.asrlm` or `.arpa` (also
    `.arpa.gz`, `.arpa.xz`) a language model, `.jsonl` (also compressed), `.parquet` or `.json` a manifest, else sound.

    Raises an `AsrError` naming the file when it cannot be read as that.
    """
    path = in_folder(path, MODEL_NAME)
    if path.is_dir():
        raise AsrError(f"{path}: a folder; give a model file, a manifest or a sound file")
    if manifest_stem(path) or path.suffix == ".json":
        return _table(_manifest(path))
    kinds = {".safetensors": _network, ".onnx": _model, ".asrlm": _compiled_lm} | dict.fromkeys(ARPA_NAMES, _arpa)
    rows = next((kinds[suffix] for suffix in kinds if path.name.endswith(suffix)), None)
    if rows is None:
        return _table(_sound(path))
    try:
        return _table(rows(local_copy(path)))
    except KeyError as error:
        raise ModelFileError(f"{path}: its training summary lacks {error}; was it made by this program?") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelFileError(f"{path}: its training summary is damaged ({error}); copy it again") from error


def _network(path: Path) -> Iterable[tuple[str, str]]:
    """The rows of a file of weights, by what it says it is."""
    if is_recurrent_file(path):
        return _recurrent_lm(path)
    return _punctuation(path) if is_punctuation_file(path) else _model(path)


def _punctuation(path: Path) -> Iterable[tuple[str, str]]:
    file = load_punctuation(path)
    yield "punctuation", f"{path} ({path.stat().st_size / 1e6:.1f} MB)"
    yield "parameters", f"{sum(array.size for array in file.weights.values()):,}"
    if training := file.training:
        for key, record in (("base", training.get("base")), ("trained on", training)):
            if record:
                yield key, f"{record['words']:,} words ({', '.join(record['train'])}), {record['date']}"
        marks = [mark for mark in ("comma", "full_stop", "question_mark") if mark in training["dev"]]
        scores = ", ".join(f"{mark.replace('_', ' ')} {training['dev'][mark]:.3f}" for mark in marks)
        yield (
            "dev",
            f"{training['dev_words']:,} words: F1 {scores}; case accuracy {training['dev']['case_accuracy']:.2%}",
        )


def _compiled_lm(path: Path) -> Iterable[tuple[str, str]]:
    from asr.lm.ngram import NgramModel

    model = NgramModel.load(path)
    yield "language model", f"{path} ({path.stat().st_size / 1e6:.1f} MB, compiled, checksum verified)"
    yield from _ngrams(model.counts)
    missing = [word for word in ("<s>", "</s>") if word not in model.index]
    if missing:
        yield "note", f"it lacks {' and '.join(missing)}: sentence boundaries have no influence"


def _recurrent_lm(path: Path) -> Iterable[tuple[str, str]]:
    file = read_recurrent(path)
    yield "language model", f"{path} ({path.stat().st_size / 1e6:.1f} MB, recurrent)"
    for line in file.to_text().splitlines():
        key, _, value = line.partition(" ")
        yield key, value.strip()


def _arpa(path: Path) -> Iterable[tuple[str, str]]:
    from asr.lm.arpa import read_counts

    counts = read_counts(path)
    yield "language model", f"{path} ({path.stat().st_size / 1e6:.1f} MB, ARPA)"
    yield from _ngrams(counts)
    yield "note", "counts of its header; `asr lm compile` reads and checks all of it"


def _ngrams(counts: list[int]) -> Iterable[tuple[str, str]]:
    yield "order", str(len(counts))
    for order, count in enumerate(counts, start=1):
        yield f"{order}-grams", f"{count:,}"


def _sound(path: Path) -> Iterable[tuple[str, str]]:
    info = probe(path)
    yield "sound", f"{path} ({info.format}, {info.encoding})"
    yield "duration", f"{info.duration:.3f} s ({info.frames} samples)"
    yield "sample rate", f"{info.sample_rate} Hz"
    yield "channels", str(info.channels)


def _manifest(path: Path) -> Iterable[tuple[str, str]]:
    utterances = read_manifest(path)
    durations = sorted(utterance.duration for utterance in utterances)
    # Path.is_file raises for a name that is too long. A request for each of a store would take hours.
    missing = sum(not (is_url(utterance.file) or os.path.isfile(utterance.file)) for utterance in utterances)
    synthetic = sum(utterance.synthetic for utterance in utterances)
    yield "manifest", str(path)
    yield "utterances", str(len(utterances))
    yield "hours", f"{sum(durations) / 3600:.3f}"
    yield "seconds", f"{durations[0]:.2f} to {durations[-1]:.2f}, median {durations[len(durations) // 2]:.2f}"
    yield "speakers", str(len({u.speaker for u in utterances if u.speaker}) or "unknown")
    yield "words", str(sum(len(utterance.text.split()) for utterance in utterances))
    yield "characters", "".join(sorted({character for utterance in utterances for character in utterance.text}))
    if missing:
        yield "missing", f"{missing} of the recordings"
    if synthetic:
        yield "note", f"{synthetic} utterances are synthetic speech"


def _context(seconds: float) -> str:
    return "everything" if math.isinf(seconds) else f"{seconds:.3f} s"


def _model(path: Path) -> Iterable[tuple[str, str]]:
    from asr.model.model_file import load_model

    file = load_model(path)
    features, architecture, training = file.features, file.architecture, file.training
    back, ahead = (frames * features.hop_seconds + features.window_seconds / 2 for frames in architecture.context)
    pieces = file.tokenizer.pieces[1:]
    yield "model", f"{path} ({path.stat().st_size / 1e6:.1f} MB)"
    if file.onnx is None:
        yield "parameters", f"{file.parameter_count:,}"
    yield "layers", f"{architecture.layers} {architecture.encoder}, width {architecture.width}"
    yield "input", f"{features.mels} mel bands at {features.sample_rate} Hz, normalised by {features.normalization}"
    yield "output frame", f"{file.frame_seconds * 1000:g} ms (subsampling {architecture.subsampling})"
    yield "receptive field", f"back {_context(back)}, ahead {_context(ahead)}"
    listed = f": {''.join(pieces)!r}" if len(pieces) < 100 else ""
    yield "tokens", f"{len(pieces)} ({file.tokenizer.units}){listed}"
    if file.phones:
        phones, units = sorted(set(map(phone_of, file.phones[1:]))), len(file.phones) - 1
        contexts = f", {units} with their contexts" if units > len(phones) else ""
        yield "phones", f"{len(phones)} phones{contexts}, by layer {architecture.phone_layer}: {' '.join(phones)}"
    yield "normalizer", file.text.normalizer + (f", replacing {file.text.replace}" if file.text.replace else "")
    if training:
        kind = "synthetic speech" if training["synthetic"] else "speech"
        yield (
            "trained on",
            (
                f"{training['hours']:g} h of {kind}, {training['utterances']} utterances, "
                f"{training['speakers']} speakers ({', '.join(training['train'])})"
            ),
        )
        yield (
            "training",
            (
                f"{training['epochs']} epochs, {training['steps']} steps, {training['seconds'] / 60:.1f} min on "
                f"{training['environment']['gpu'] or training['environment']['processor']}, {training['date']}"
            ),
        )
        yield (
            "dev WER",
            (
                f"{training['dev_wer']:.2%} (CER {training['dev_cer']:.2%}) on {', '.join(training['dev'])}"
                + (", synthetic speech" if training["dev_synthetic"] else "")
            ),
        )


def _table(rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"{name:<16} {one_line(value)}" for name, value in rows)
