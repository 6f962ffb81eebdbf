"""One recognition from the inside: what the network does with a recording, layer by layer, and as time goes by."""

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
    """What the decoder says when only the beginning has been heard."""

    heard: float  # seconds
    words: tuple[Word, ...]
    kept: tuple[bool, ...]  # for each word, whether the whole recording's hypothesis has it too


@dataclass(frozen=True)
class Inspection:
    """What one recording, or its beginning, does in a network."""

    name: str  # of the sound file
    model: str  # name of the model file
    duration: float  # seconds of the whole recording
    sample_rate: int  # hertz
    samples: np.ndarray  # (samples,), of the part that is shown
    log_mel: np.ndarray  # (frames, mels), as the network hears it
    layers: list[np.ndarray]  # (output frames, size) of each layer of the encoder
    encoder: str  # the encoder's family
    log_probabilities: np.ndarray  # (output frames, tokens), natural logarithm
    path: Tokens  # greedy
    pieces: Sequence[str]  # text of each token
    hop_seconds: float  # from one log-mel frame to the next
    frame_seconds: float  # from one output frame to the next
    transcript: Transcript
    partials: list[Partial]

    @property
    def shown(self) -> float:
        """Seconds that are shown."""
        return len(self.samples) / self.sample_rate

    @property
    def axis_seconds(self) -> float:
        """Seconds of the time axis: the last output frame may end after the sound."""
        return max(self.shown, len(self.log_probabilities) * self.frame_seconds)

    @property
    def title(self) -> str:
        """What is shown, in one line."""
        part = f"the first {self.shown:.1f} s of {self.duration:.1f} s" if self.shown < self.duration - 0.05 else ""
        return f"{self.name}: {part or f'{self.shown:.2f} s'}, by {self.model}"


def look_inside(recognizer: Recognizer, sound: Path, model: str, config: InspectConfig) -> Inspection:
    """Everything that is shown of a recording's first seconds."""
    duration = probe(sound).duration
    samples = load_audio(sound, recognizer.sample_rate, 0.0, min(duration, config.seconds)).samples
    log_probabilities = recognizer.file.of_tokens(recognizer.emissions([samples])[0])
    lengths = np.array([len(log_probabilities)])
    transcript, partials = listen(recognizer, samples, config.partials)
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
    """`(output frames, size)` of each layer of the encoder, the first one first."""
    padded = pad([recognizer.log_mel(samples)], recognizer.file.features.hop_seconds)
    features, lengths = map(torch.from_numpy, padded)
    network = load_network(recognizer.file)
    frames = int(network.output_lengths(lengths)[0])
    return [layer[0, :frames].numpy() for layer in network.layer_outputs(features, lengths)]


def listen(recognizer: Recognizer, samples: np.ndarray, steps: int) -> tuple[Transcript, list[Partial]]:
    """The transcript, and what the decoder says after each of `steps` equal parts of time.

    Each time the recording is cut off and recognised afresh: a network that looks ahead, and features that are
    normalised over the whole, change all they said before.
    """
    heard = [round(len(samples) * step / steps) for step in range(1, steps + 1)]
    transcripts = recognizer.recognize([samples[:count] for count in heard])
    final = transcripts[-1]
    partials = [
        Partial(count / recognizer.sample_rate, found.words, kept_words(found.words, final.words))
        for count, found in zip(heard, transcripts, strict=True)
    ]
    return final, partials


def kept_words(words: Sequence[Word], final: Sequence[Word]) -> tuple[bool, ...]:
    """For each word of a partial hypothesis whether the final one has it, in the same order."""
    matcher = difflib.SequenceMatcher(
        None, [word.text for word in words], [word.text for word in final], autojunk=False
    )
    kept = {block.a + offset for block in matcher.get_matching_blocks() for offset in range(block.size)}
    return tuple(index in kept for index in range(len(words)))
