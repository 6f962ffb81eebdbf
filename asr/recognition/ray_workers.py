"""The processes on the nodes of a Ray cluster: workers, which hold the model, and readers of long recordings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.audio.io import read_audio
from asr.data.manifest import Utterance
from asr.decoding.config import DecoderConfig
from asr.decoding.decoder import Decoding
from asr.output.formats import Outputs
from asr.recognition.batch import Failure, confident, recognize_each, transcribe_files
from asr.recognition.config import RunConfig, TranscribeConfig
from asr.recognition.pipeline import Ending, join_segments
from asr.recognition.recognizer import Recognizer
from asr.recognition.stretches import Stretch, read_stretches, recognize_stretch
from asr.transcript import Transcript
from asr.utils.ray_cluster import start_on_node

Segments = list[tuple[int, Decoding]]  # with their first output frames in the recording


@dataclass(frozen=True)
class Done:
    """A recording whose outputs have been written."""

    name: str
    seconds: float = 0.0  # of audio; 0 if its worker died before it could say
    notes: tuple[str, ...] = ()


class Transcriber:
    """A worker of `asr transcribe`, which writes the outputs."""

    def __init__(self, folder: str, model: Path, config: TranscribeConfig, outputs: Outputs, cores: int, number: int):
        start_on_node(folder, cores, number)
        run = config.run
        self._recognizer = Recognizer.load(
            model, run.device, config.search, run.precision, run.voice_activity, config.writing
        )
        self._outputs, self._config = outputs, config

    def ready(self) -> None:
        """Return once the model is loaded."""

    def run(self, names: Sequence[str]) -> list[Done | Failure]:
        """Transcribe recordings."""
        return self._write(transcribe_files(self._recognizer, names, self._config.run.batch_seconds))

    def recognize(self, items: Sequence[tuple[str, int]], stretch: Stretch) -> Segments:
        """The words of a stretch of a recording, which `items` name."""
        decoder = self._recognizer.decoder
        return recognize_stretch(self._recognizer, decoder, stretch, self._config.run.batch_seconds)

    def join(self, names: Sequence[str], segments: Segments, ending: Ending) -> list[Done | Failure]:
        """Write the transcript of the recording that these are all segments of."""
        transcript = join_segments(self._recognizer, self._recognizer.decoder, segments, ending)
        return self._write([(names[0], self._recognizer.write(transcript))])

    def _write(self, results: Iterable[tuple[str, Transcript | Failure]]) -> list[Done | Failure]:
        found: list[Done | Failure] = []
        for name, result in confident(results, self._config):
            if isinstance(result, Transcript):
                self._outputs.write(name, result)
                found.append(Done(name, result.duration, tuple(result.notes)))
            else:
                found.append(result)
        return found


class Evaluator:
    """A worker of `asr evaluate`."""

    def __init__(self, folder: str, model: Path, run: RunConfig, search: DecoderConfig, cores: int, number: int):
        start_on_node(folder, cores, number)
        self._recognizer = Recognizer.load(model, run.device, search, run.precision, run.voice_activity)
        self._batch_seconds = run.batch_seconds

    def ready(self) -> None:
        """Return once the model is loaded."""

    def run(self, items: Sequence[tuple[int, Utterance]]) -> list[tuple[int, Transcript | Failure]]:
        """Recognise utterances, which are numbered."""
        results = recognize_each(self._recognizer, [utterance for _, utterance in items], self._batch_seconds)
        return [(number, result) for (number, _), result in zip(items, results, strict=True)]


class Reader:
    """A process that cuts a long recording into stretches of about `stretch_seconds`."""

    def __init__(self, folder: str, sample_rate: int, frame_samples: int, stretch_seconds: float):
        start_on_node(folder)
        self._format = sample_rate, frame_samples, stretch_seconds

    def open(self, name: str) -> None:
        """Begin at the start of a recording."""
        self._stretches = read_stretches(lambda: read_audio(name, self._format[0]), *self._format)

    def read(self) -> tuple[Ending | None, Stretch]:
        """The next stretch, after its ending if it is the last."""
        stretch = next(self._stretches)
        return stretch.ending, stretch
