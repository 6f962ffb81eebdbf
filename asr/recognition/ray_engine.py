"""Recognition on a Ray cluster: workers transcribe groups of recordings and write the outputs, so that only names and
durations travel; long recordings are cut, and their stretches recognised by several workers.

What a worker that dies has not done is done again, recording by recording: one that takes its worker down with it
`ATTEMPTS` times is a failure.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from asr.audio.durations import USUAL, Sizes, estimate_durations, seconds_per_byte
from asr.data.manifest import Utterance
from asr.decoding.config import DecoderConfig
from asr.errors import ConfigError
from asr.model.model_file import load_model
from asr.output.formats import STDIN, Outputs
from asr.recognition.batch import Failure, Recognition
from asr.recognition.config import RunConfig, TranscribeConfig
from asr.recognition.ray_long_recording import LongRecording
from asr.recognition.ray_workers import Done, Evaluator, Reader, Transcriber
from asr.utils import storage
from asr.utils.files import make_folder
from asr.utils.progress import progress_bar
from asr.utils.ray_cluster import Cluster, EngineConfig, Groups, Job, connected, start_on_node, why_lost

GROUP_SECONDS = 1000.0  # of the recordings that are given to a worker together
GROUP_ITEMS = 64
STRETCH_SECONDS = 900.0  # of a recording longer than a group
HEADERS_SECONDS = 60.0  # for a few recordings of a kind, until their durations are guessed

T = TypeVar("T")


def transcribe_on_ray(
    names: Sequence[str], outputs: Outputs, model: Path, config: TranscribeConfig
) -> Iterator[Done | Failure]:
    """Transcribe recordings on the cluster into `outputs`; what has become of each, as soon as known.

    Raises `ConfigError` for what cannot be done on a cluster, `AsrError` when there is none or its workers cannot
    start, and what a worker raises, such as `OSError` for a full disk.
    """
    if outputs.folder is None:
        raise ConfigError("--engine ray: its workers write the outputs, so add -o DIR, which all nodes can reach")
    if STDIN in names:
        raise ConfigError("--engine ray: standard input is not on the cluster; name files")
    file = load_model(model)  # one that cannot be used is an error here rather than on each node
    with connected(config.where.ray_address):
        import ray

        make_folder(outputs.folder)
        sizes = {name: storage.identity(name)[1] or 0 for name in names}
        # What is rescored may depend on the words before it.
        divides = not (config.search.rescore and config.search.beam.rescore_context)
        reader = ray.remote(Reader).options(num_cpus=0, scheduling_strategy="SPREAD")
        arguments = os.getcwd(), file.features.sample_rate, file.frame_samples, STRETCH_SECONDS
        cluster = Cluster(Transcriber, (os.getcwd(), model, config, ray.put(outputs)), config.run.device)
        durations = estimate_durations(sizes, _seconds_per_byte)  # while the workers load the model
        work = _Transcription(durations, divides, outputs, lambda: reader.remote(*arguments))
        with progress_bar("transcribing", sum(durations.values())) as advance:
            seconds, failures, started = 0.0, 0, time.monotonic()
            for result in cluster.do(work):
                seconds += result.seconds if isinstance(result, Done) else 0
                failures += isinstance(result, Failure)
                pace = seconds / (time.monotonic() - started)
                failed = f", {failures} failed" if failures else ""
                advance(durations[result.name], f"{seconds / 3600:.1f} h, {pace:.0f} times real time{failed}")
                yield result


def _seconds_per_byte(samples: Sequence[Sizes]) -> list[float]:
    """`seconds_per_byte` of each sample, by a process on the cluster: a recording may kill it."""
    import ray

    folder = os.getcwd()

    def read(sample: Sizes) -> float:  # a function of its own, for which a process needs to import little
        start_on_node(folder)
        return seconds_per_byte(sample)

    task = ray.remote(read).options(num_cpus=0, max_retries=0, scheduling_strategy="SPREAD")
    calls, rates = [task.remote(sample) for sample in samples], []
    for call in calls:
        try:
            rates.append(ray.get(call, timeout=HEADERS_SECONDS))
        except ray.exceptions.RayError:
            rates.append(USUAL)
    return rates


def recognize_on_ray(
    utterances: Sequence[Utterance], model: Path, run: RunConfig, search: DecoderConfig, where: EngineConfig
) -> Recognition:
    """What `asr.recognition.batch.recognize_utterances` returns, from the cluster. Raises as `transcribe_on_ray`."""
    started = time.perf_counter()
    durations = {number: utterance.duration for number, utterance in enumerate(utterances)}
    groups = [[(number, utterances[number]) for number in part] for part in group(durations)]
    with connected(where.ray_address), progress_bar("recognising", len(utterances)) as advance:
        results = {}
        for number, result in Cluster(Evaluator, (os.getcwd(), model, run, search), run.device).do(_Evaluation(groups)):
            results[number] = result
            advance(1)
    return Recognition.of(utterances, [results[number] for number in durations], time.perf_counter() - started)


class _Evaluation(Groups):
    """Utterances with their numbers; results likewise."""

    def failure(self, item: tuple[int, Utterance], error: Exception) -> tuple[int, Failure]:
        number, utterance = item
        return number, Failure(utterance.id, why_lost(utterance.id, error))


class _Transcription(Groups):
    """Recordings by name; those longer than a group are divided among the workers, if `divides`."""

    def __init__(self, durations: Mapping[str, float], divides: bool, outputs: Outputs, make_reader: Callable[[], Any]):
        long = {name for name, seconds in durations.items() if divides and seconds > GROUP_SECONDS}
        super().__init__(group({name: durations[name] for name in durations if name not in long}))
        self.left += len(long)
        self._outputs, self._make_reader = outputs, make_reader
        self._long = deque(sorted(long, key=durations.__getitem__, reverse=True))
        self._open: dict[str, LongRecording] = {}

    def next_job(self, workers: int) -> Job | None:
        """A stretch that has been read, or a group while others are read."""
        for recording in list(self._open.values()):
            job = recording.next_job()
            self._note_failure(recording)
            if job:
                return job
        if self._long and len(self._open) < workers:
            name = self._long.popleft()
            self._open[name] = LongRecording(name, self._make_reader)
        return super().next_job(workers)

    def awaited(self) -> list[Any]:
        return [recording.awaited for recording in self._open.values() if recording.awaited]

    def finish(self, job: Job, value: Any) -> None:
        if job.method != "recognize":
            super().finish(job, value)
            return
        ((name, number),) = job.items
        # Of one that has failed, other workers may still have stretches.
        if name in self._open and (joining := self._open[name].add(number, value)):
            del self._open[name]
            self._jobs.appendleft(joining)

    def repeat(self, job: Job, error: Exception) -> None:
        if job.method == "recognize":
            ((name, number),) = job.items
            if recording := self._open.get(name):
                recording.lose(number, error)
                self._note_failure(recording)
            return
        self._outputs.read_ledger(job.items)
        written = [name for name in job.items if self._outputs.are_written(name)]
        super().finish(job, [Done(name) for name in written])
        super().repeat(replace(job, items=tuple(name for name in job.items if name not in written)), error)

    def failure(self, item: str, error: Exception) -> Failure:
        return Failure(item, why_lost(item, error))

    def _note_failure(self, recording: LongRecording) -> None:
        if recording.failure:
            del self._open[recording.name]
            self._results.append(Failure(recording.name, recording.failure))
            self.left -= 1


def group(durations: Mapping[T, float]) -> Iterator[list[T]]:
    """Items of similar duration together; the longest first, so that none is left for last alone."""
    part: list[T] = []
    filled = 0.0
    for item in sorted(durations, key=durations.__getitem__, reverse=True):
        if part and (filled + durations[item] > GROUP_SECONDS or len(part) == GROUP_ITEMS):
            yield part
            part, filled = [], 0.0
        part.append(item)
        filled += durations[item]
    if part:
        yield part
