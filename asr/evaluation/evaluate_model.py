"""A model and a manifest -> an evaluation, its report, and its summary for the terminal."""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asr.data.manifest import Utterance, is_duration_right, load_utterance, read_manifest, speaker_digest
from asr.errors import ConfigError, one_line
from asr.evaluation.alignment import Scored
from asr.evaluation.config import EvaluateConfig
from asr.evaluation.metrics import Evaluation, evaluate
from asr.evaluation.rejection import measure_rejection
from asr.evaluation.report import Emission, write_report
from asr.evaluation.terminal import summary_text
from asr.recognition.batch import recognize_utterances
from asr.recognition.recognizer import Recognizer
from asr.transcript import Transcript
from asr.utils import storage
from asr.utils.distributed import own_group
from asr.utils.extras import require
from asr.utils.files import make_folder

PICTURE_SECONDS = 8.0  # of the longest utterance drawn: pictures must fit a screen


@dataclass(frozen=True)
class Assessment:
    """An evaluation, with its model, manifest and report."""

    evaluation: Evaluation
    model: Path
    manifest: Path
    report: Path | None  # the HTML page, if one was written

    def to_text(self) -> str:
        """The result for a terminal: figures, one sample, the files and further commands."""
        sample = self.evaluation.scored[0] if self.evaluation.scored else None
        lines = []
        if sample:
            lines += [
                f"sample       {sample.utterance.id}",
                f"reference    {sample.reference}",
                f"hypothesis   {sample.hypothesis}",
            ]
        lines += [f"model        {_shown(self.model)}"]
        if self.report:
            lines += [f"report       {_shown(self.report)}"]
        following = ["", "next:", *(f"  {command}" for command in self._next(sample))]
        return "\n".join([summary_text(self.evaluation), "", *map(one_line, lines), *following])

    def _next(self, sample: Scored | None) -> list[str]:
        model = _quoted(_shown(self.model))
        sound = _quoted(_shown(sample.utterance.audio_filepath)) if sample else "talk.wav"
        asr = _program()
        commands = [f"{asr} transcribe {sound} --model {model} --format json", f"{asr} info {model}"]
        if self.report:
            return [*commands, f"python3 -m webbrowser {_quoted(_shown(self.report))}"]
        return [*commands, f"{asr} evaluate {_quoted(_shown(self.manifest))} --model {model} -o report"]


def assess(manifest: Path, model: Path, output: Path | None, config: EvaluateConfig) -> Assessment:
    """Recognise and score a manifest's utterances, and write the report into `output` if given.

    Where the duration in the manifest is not that of the recording, the recording's counts, and the report says so.
    """
    if own_group().size > 1:
        raise ConfigError("asr evaluate runs in one process; --engine ray shares the work among several")
    run = config.run
    utterances = read_manifest(manifest)
    recognizer = Recognizer.load(model, run.device, config.search, run.precision, run.voice_activity)
    if output:
        make_folder(output)  # now, rather than fail after the work
        require("matplotlib")
        require("jinja2")
    if config.where.engine == "ray":
        from asr.recognition.ray_engine import recognize_on_ray

        recognition = recognize_on_ray(utterances, model, run, config.search, config.where)
    else:
        recognition = recognize_utterances(recognizer, utterances, run.batch_seconds)
    pairs, notes = correct_durations(recognition.pairs)
    evaluation = evaluate(
        pairs,
        text=recognizer.file.text,
        decoder=config.search.describe(),
        model=model.name,
        manifests=[manifest.name],
        alignment=config.alignment,
        notes=[*shared_speakers(utterances, recognizer.file.training), *notes],
        compute_seconds=recognition.compute_seconds,
        failures=recognition.failures,
        segment_slope=config.search.segment_slope,
    )
    report = None
    if output:
        thresholds = measure_rejection(recognizer, config.search, evaluation.scored, config.run.batch_seconds)
        evaluation = replace(evaluation, rejection=thresholds)
        shown = _choose_pictures(evaluation, config.pictures)
        report = write_report(output, evaluation, [_emission(recognizer, item) for item in shown])[-1]
    return Assessment(evaluation, model, manifest, report)


def shared_speakers(utterances: Sequence[Utterance], training: Mapping[str, Any]) -> list[str]:
    """A note when speakers have the names of speakers of the model's training set; those whose manifest says that they
    are in it have a caveat already."""
    known = set(training.get("speaker_digests", ()))
    by = [u.speaker for u in utterances if u.speaker and not u.speaker_in_training]
    shared = [speaker for speaker in by if speaker_digest(speaker) in known]
    if not shared:
        return []
    count = len(set(shared))
    speakers = f"{count} speaker{'s' if count > 1 else ''}"
    return [
        f"{len(shared)} of {len(utterances)} utterances are by {speakers} whose names are in the training set: if they "
        "are the same people, this says nothing about other speakers"
    ]


def correct_durations(
    pairs: Sequence[tuple[Utterance, Transcript]],
) -> tuple[list[tuple[Utterance, Transcript]], list[str]]:
    """Utterances with the durations of their recordings, and a note on those whose manifest has another one."""
    corrected, wrong = [], []
    for utterance, transcript in pairs:
        if not is_duration_right(utterance.duration, transcript.duration):
            wrong.append(f"'{utterance.id}' {utterance.duration:.2f} s instead of {transcript.duration:.2f} s")
            utterance = replace(utterance, duration=transcript.duration)
        corrected.append((utterance, transcript))
    if not wrong:
        return corrected, []
    return corrected, [
        f"wrong durations in the manifest: {len(wrong)}, such as {wrong[0]}; all figures use the recordings' durations"
    ]


def _choose_pictures(evaluation: Evaluation, count: int) -> Sequence[Scored]:
    """The utterances to draw: half are the worst ones that fit a screen, the others the first ones in the manifest."""
    short = [item for item in evaluation.scored if item.utterance.duration <= PICTURE_SECONDS]
    worst = [item for item in evaluation.worst(len(evaluation.scored)) if item in short][: count // 2]
    return [*worst, *[item for item in short if item not in worst][: count - len(worst)]]


def _emission(recognizer: Recognizer, item: Scored) -> Emission:
    samples = load_utterance(item.utterance, recognizer.sample_rate).samples
    return Emission(
        utterance=item.utterance.id,
        reference=item.reference,
        hypothesis=item.hypothesis,
        log_mel=recognizer.log_mel(samples),
        log_probabilities=recognizer.file.of_tokens(recognizer.emissions([samples])[0]),
        pieces=recognizer.file.tokenizer.pieces,
        hop_seconds=recognizer.file.features.hop_seconds,
        frame_seconds=recognizer.file.frame_seconds,
        words=item.transcript.words,
    )


def _program() -> str:
    """The `asr` command as it can be typed here: by name, or by path if it is not on PATH."""
    beside = Path(sys.executable).with_name("asr")
    return "asr" if shutil.which("asr") or not beside.exists() else _quoted(_shown(beside))


def _quoted(text: str) -> str:
    """A file name quoted for the shell: never taken for an option, and on one line even if the name is not."""
    text = f"./{text}" if text.startswith("-") else text
    if one_line(text) == text:
        return shlex.quote(text)
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{one_line(escaped)}'"


def _shown(path: Path) -> str:
    """A path relative to the working folder if it is below it."""
    if storage.is_url(path):
        return storage.shown(path)
    relative = os.path.relpath(path)
    return os.path.normpath(path) if relative.startswith("..") else relative
