"""What a picture of one recognition shows: features, layer outputs, token probabilities and partial hypotheses."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from asr.audio.io import load_audio, probe
from asr.decoding.greedy import Tokens, greedy
from asr.model.acoustic_model import load_network
from asr.model.padding import pad
from asr.recognition.recognizer import Recognizer
from asr.transcript import Transcript, Word
from asr.visual.config import InspectConfig


@dataclass(frozen=True)
class Partial:
    """The hypothesis for the beginning of a recording."""

    seconds: float  # of the beginning
    words: tuple[Word, ...]
    kept: tuple[bool, ...]  # per word: whether the hypothesis for the whole recording has it too


@dataclass(frozen=True)
class Inspection:
    """One recording, or its beginning, in a network."""

    name: str  # of the sound file
    model: str  # name of the model file
    duration: float  # seconds of the whole recording
    sample_rate: int  # hertz
    samples: np.ndarray  # (samples,), of the part that is shown
    log_mel: np.ndarray  # (frames, mels)
    layers: list[np.ndarray]  # outputs of each encoder layer, (output frames, size)
    encoder: str  # its family
    log_probabilities: np.ndarray  # (output frames, tokens), natural logarithm
    path: Tokens  # greedy
    pieces: Sequence[str]  # text of each token
    hop_seconds: float  # from one log-mel frame to the next
    frame_seconds: float  # from one output frame to the next
    transcript: Transcript
    partials: list[Partial]

    @property
    def shown(self) -> float:
        """Seconds shown."""
        return len(self.samples) / self.sample_rate

    @property
    def axis_seconds(self) -> float:
        """Seconds of the time axis: the last output frame may end after the sound."""
        return max(self.shown, len(self.log_probabilities) * self.frame_seconds)

    @property
    def title(self) -> str:
        """The title line."""
        part = f"the first {self.shown:.1f} s of {self.duration:.1f} s" if self.shown < self.duration - 0.05 else ""
        return f"{self.name}: {part or f'{self.shown:.2f} s'}, by {self.model}"


def look_inside(recognizer: Recognizer, sound: Path, model: str, config: InspectConfig) -> Inspection:
    """Recognise the first seconds of a recording and collect everything that is shown of it."""
    duration = probe(sound).duration
    samples = load_audio(sound, recognizer.sample_rate, 0.0, min(duration, config.seconds)).samples
    log_probabilities = recognizer.file.of_tokens(recognizer.emissions([samples])[0])
    lengths = np.array([len(log_probabilities)])
    transcript, partials = partial_hypotheses(recognizer, samples, config.partials)
    return Inspection(
        name=sound.name,
        model=model,
        duration=duration,
        sample_rate=recognizer.sample_rate,
        samples=samples,
        log_mel=recognizer.log_mel(samples),
        layers=hidden_states(recognizer, samples),
        encoder=recognizer.file.architecture.encoder,
        log_probabilities=log_probabilities,
        path=greedy(log_probabilities[None], lengths)[0],
        pieces=recognizer.file.tokenizer.pieces,
        hop_seconds=recognizer.file.features.hop_seconds,
        frame_seconds=recognizer.file.frame_seconds,
        transcript=transcript,
        partials=partials,
    )


@torch.inference_mode()
def hidden_states(recognizer: Recognizer, samples: np.ndarray) -> list[np.ndarray]:
    """Outputs `(output frames, size)` of each encoder layer, the first layer first."""
    padded = pad([recognizer.log_mel(samples)], recognizer.file.features.hop_seconds)
    features, lengths = map(torch.from_numpy, padded)
    network = load_network(recognizer.file)
    frames = int(network.output_lengths(lengths)[0])
    return [layer[0, :frames].numpy() for layer in network.layer_outputs(features, lengths)]


def partial_hypotheses(recognizer: Recognizer, samples: np.ndarray, steps: int) -> tuple[Transcript, list[Partial]]:
    """The transcript of a recording `(samples,)`, and the hypotheses for the first 1/steps, 2/steps, ... of it.

    Each beginning is recognised by itself: later sound changes earlier output, through a bidirectional network and
    through features that are normalised over the whole.
    """
    lengths = [round(len(samples) * step / steps) for step in range(1, steps + 1)]
    transcripts = recognizer.recognize([samples[:count] for count in lengths])
    final = transcripts[-1]
    partials = [
        Partial(count / recognizer.sample_rate, found.words, kept_words(found.words, final.words))
        for count, found in zip(lengths, transcripts, strict=True)
    ]
    return final, partials


def kept_words(words: Sequence[Word], final: Sequence[Word]) -> tuple[bool, ...]:
    """Per word of a partial hypothesis, whether it belongs to the longest common subsequence with the final one."""
    matcher = difflib.SequenceMatcher(
        None, [word.text for word in words], [word.text for word in final], autojunk=False
    )
    kept = {block.a + offset for block in matcher.get_matching_blocks() for offset in range(block.size)}
    return tuple(index in kept for index in range(len(words)))
