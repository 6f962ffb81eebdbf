"""A candidate of a corpus -> an utterance, or a reject with its reason."""

import dataclasses
import functools
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from asr.audio.io import OVERSHOOT, probe
from asr.config import Recipe
from asr.data.corpora.base import Candidate
from asr.data.manifest import Utterance, is_duration_right
from asr.data.shards import read_sound
from asr.data.utterances import ByteRange
from asr.errors import AudioError, TextError
from asr.text.normalizer import find_tags, normalize
from asr.text.tokenizer import count_unknown, frames_needed, name_characters

Recording = tuple[Path, ByteRange | None]  # as in a candidate


def recording_of(candidate: Candidate) -> Recording:
    """The recording that a candidate is, or is a part of."""
    return candidate.audio, candidate.byte_range


def recorded_seconds(recording: Recording) -> float | str:
    """Seconds of a recording by its header, or why it cannot be read."""
    path, byte_range = recording
    try:
        return probe(read_sound(path, byte_range) if byte_range else path).duration
    except AudioError as error:
        return str(error)


class Rejected(Exception):  # noqa: N818 (the outcome of a check, not an error)
    """What is wrong with a candidate: the kind, by which rejects are counted, and the reason."""

    def __init__(self, kind: str, reason: str):
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True)
class Reject:
    """A rejected candidate."""

    candidate: Candidate
    kind: str
    reason: str


class Intake:
    """Sorts candidates into accepted utterances, by subset, and rejects."""

    def __init__(
        self,
        recipe: Recipe,
        max_seconds: float,
        spell: Callable[[str], str],
        recorded: Callable[[Recording], float | str] | None = None,
    ):
        """`spell` writes out the numbers in a text; `recorded` returns what `recorded_seconds` does."""
        self.accepted: dict[str, list[Utterance]] = defaultdict(list)
        self.rejects: list[Reject] = []
        self.corrected_durations = 0
        self.unknown_characters: Counter = Counter()
        self.spelled: list[dict[str, str]] = []  # accepted utterances whose numbers were written out
        self._recipe, self._max_seconds, self._spell = recipe, max_seconds, spell
        self._audio_of_id: dict[str, Path] = {}
        # Segments of one long recording follow one another: its header is read once.
        self._recorded = recorded or functools.lru_cache(maxsize=1000)(recorded_seconds)

    def add(self, candidate: Candidate) -> None:
        """Check one candidate, and accept or reject it."""
        try:
            written = self._written_out(candidate)
            utterance = self._check(written)
        except Rejected as rejected:
            self.rejects.append(Reject(candidate, rejected.kind, str(rejected)))
        else:
            self._audio_of_id[utterance.id] = utterance.audio_filepath
            self.accepted[candidate.subset].append(utterance)
            if written is not candidate:
                self.spelled.append({"id": utterance.id, "before": candidate.text, "text": utterance.text})
            claimed = candidate.claimed_duration
            self.corrected_durations += claimed is not None and not is_duration_right(claimed, utterance.duration)

    def _written_out(self, candidate: Candidate) -> Candidate:
        """The candidate with its numbers in words."""
        try:
            text = self._spell(candidate.text)
        except TextError as error:
            raise Rejected("number that cannot be written out", str(error)) from error
        if text == candidate.text:
            return candidate
        return dataclasses.replace(candidate, text=re.sub(r" (?=[.,;:!?])", "", " ".join(text.split())))

    def _check(self, candidate: Candidate) -> Utterance:
        if candidate.problem:
            raise Rejected(re.split("[:;]", candidate.problem)[0], candidate.problem)
        if tags := find_tags(candidate.text, self._recipe.text):
            raise Rejected("tags in the text", f"tags in the text: {', '.join(tags)}; remove what is not a word")
        text = normalize(candidate.text, self._recipe.text)
        unknown = self._unknown(text)
        self.unknown_characters.update(unknown)
        utterance = self._locate(candidate)
        if not text:
            raise Rejected("empty text", f"empty text: nothing is left of '{candidate.text}' after normalisation")
        if unknown:
            raise Rejected(
                "characters outside the alphabet",
                f"characters outside the alphabet: {name_characters(unknown)}; "
                "add them to text.alphabet or map them with text.replace",
            )
        if utterance.duration > self._max_seconds:
            raise Rejected("too long", f"too long: {utterance.duration:.2f} s, more than {self._max_seconds:g} s")
        self._check_frames(text, utterance.duration)
        if utterance.id in self._audio_of_id:
            raise Rejected("duplicate id", f"duplicate id: {self._audio_of_id[utterance.id]} has it too")
        return utterance

    def _unknown(self, text: str) -> Counter:
        alphabet = self._recipe.text.alphabet
        return count_unknown([text], alphabet) if alphabet else Counter()

    def _locate(self, candidate: Candidate) -> Utterance:
        """The utterance with its place in the recording, which must lie within the header's duration."""
        try:
            str(candidate.audio).encode()
        except UnicodeEncodeError as error:
            raise Rejected("file name not UTF-8", "file name not UTF-8: rename it") from error
        recorded = self._recorded(recording_of(candidate))
        if isinstance(recorded, str):
            raise Rejected("missing or unreadable audio", recorded)
        start, length = candidate.offset, candidate.duration
        end = recorded if length is None else start + length
        # In this order NaN fails too.
        if not 0 <= start < end <= recorded + OVERSHOOT:
            raise Rejected(
                "outside the recording",
                f"outside the recording: {start:.2f} s to {end:.2f} s in {candidate.audio}, which has {recorded:.2f} s",
            )
        is_part = start > 0 or length is not None
        return Utterance(
            candidate.id,
            candidate.audio,
            duration=min(end, recorded) - start,
            text=candidate.text,
            speaker=candidate.speaker,
            offset=start if is_part else None,
            extra=candidate.extra,
            byte_range=candidate.byte_range,
        )

    def _check_frames(self, text: str, seconds: float) -> None:
        # Byte-pair units are longer than characters, and unknown before training, which checks them.
        if self._recipe.text.units != "characters":
            return
        frames, needed = self._recipe.output_frames(seconds), frames_needed([ord(character) for character in text])
        if frames < needed:
            raise Rejected(
                "too short for its text",
                f"too short for its text: {seconds:.2f} s are {frames} frames of {self._recipe.frame_seconds:g} s, "
                f"but CTC needs {needed} for these characters; is it the right recording?",
            )
