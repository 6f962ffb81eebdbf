"""Recordings without a division -> train, dev and test manifests."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.data.config import PrepareConfig
from asr.data.manifest import Utterance, read_manifests, split_by_speaker, write_manifest
from asr.data.prepare import prepare
from asr.errors import ManifestError

SHARE = 0.1  # of the audio for dev, and for test
MOST_DEV_HOURS = 1.0  # more takes time in every epoch and changes little
FEWEST_SPEAKERS = 6  # a split by speaker leaves enough of them for training
FEWEST_UTTERANCES = 10
PARTS = {"dev": "dev", "val": "dev", "test": "test", "eval": "test"}  # by the beginning of a manifest's name


@dataclass(frozen=True)
class Division:
    """The parts of a corpus and their manifests; `test` may be empty."""

    train: Sequence[Utterance]
    dev: Sequence[Utterance]
    test: Sequence[Utterance]
    manifests: dict[str, tuple[Path, ...]]  # by part
    reason: str  # of the way in which it was divided
    rejects: str = ""  # what is wrong with rejected recordings, if there are any

    @property
    def warnings(self) -> list[str]:
        """What limits figures measured on these parts."""
        shared = len(_speakers(self.train) & _speakers([*self.dev, *self.test]))
        several = "speakers" if shared > 1 else "speaker"
        note = f"{shared} {several} of dev or test also in train: WER says nothing about other speakers"
        return [text for text in (self.rejects, shared and note) if text]


def divide(sources: Sequence[Path], folder: Path) -> Division:
    """Manifests, or a folder of recordings beside their texts, in three parts; new manifests are written to `folder`.

    Manifests whose names begin with dev, val, test or eval are those parts. Where there is no dev part, it is taken
    from train, and where there are neither, a test part too: by speaker or, if the test part has the speakers of train
    or there are fewer than six, by utterance. Raises `ManifestError`.
    """
    sources, rejects = [Path(source) for source in sources], ""
    if len(sources) == 1 and sources[0].is_dir():
        summary = prepare("folder", str(sources[0]), folder, PrepareConfig())
        sources = [folder / "all.jsonl"]
        if summary.rejects:
            kinds = ", ".join(f"{kind} ({count})" for kind, count in summary.rejects_by_kind.items())
            rejects = f"{summary.rejects} recordings rejected, see {folder / 'rejects.jsonl'}: {kinds}"
    elif folders := [source for source in sources if source.is_dir()]:
        raise ManifestError(f"{folders[0]}: only one folder can be given; make manifests of several with `asr prepare`")
    manifests = _by_part(sources)
    if not manifests["train"]:
        raise ManifestError(
            f"{', '.join(map(str, sources))}: no manifest to train on, only dev and test by their names"
        )
    parts: dict[str, Sequence[Utterance]] = {
        name: read_manifests(paths) if paths else [] for name, paths in manifests.items()
    }
    reason = "the manifests' own division"
    if not manifests["dev"]:
        wanted = ["dev"] if manifests["test"] else ["dev", "test"]
        divided, reason = _split(parts["train"], wanted, parts["test"])
        for name, utterances in divided.items():
            parts[name] = utterances
            manifests[name] = (write_manifest(folder / f"{name}.jsonl", utterances),)
    return Division(**parts, manifests=manifests, reason=reason, rejects=rejects)


def _by_part(sources: Sequence[Path]) -> dict[str, tuple[Path, ...]]:
    def part(path: Path) -> str:
        return next((part for start, part in PARTS.items() if path.stem.startswith(start)), "train")

    if len(sources) == 1:
        return {"train": tuple(sources), "dev": (), "test": ()}
    return {name: tuple(path for path in sources if part(path) == name) for name in ("train", "dev", "test")}


def _split(
    utterances: Sequence[Utterance], wanted: Sequence[str], test: Sequence[Utterance]
) -> tuple[dict[str, list[Utterance]], str]:
    """The utterances in train and the wanted parts, and why in this way."""
    if len(utterances) < FEWEST_UTTERANCES:
        raise ManifestError(f"{len(utterances)} utterances are too few to divide; record {FEWEST_UTTERANCES} or more")
    hours = sum(utterance.duration for utterance in utterances) / 3600
    shares = {"dev": min(SHARE, MOST_DEV_HOURS / hours), "test": SHARE}
    shares = {name: shares[name] for name in wanted}
    speakers, names = _speakers(utterances), " and ".join(wanted)
    all_known = all(utterance.speaker for utterance in utterances)
    if test and _speakers(test) <= speakers and speakers:
        reason = f"{names}: a tenth of the utterances, since test has the speakers of train"
    elif len(speakers) < FEWEST_SPEAKERS or not all_known:
        found = f"only {len(speakers)} speakers" if all_known else "not all speakers"
        reason = f"{names}: a tenth of the utterances, since {found} are named"
    else:
        return split_by_speaker(utterances, shares), f"{names}: a tenth of the speech, by speakers who are not in train"
    return split_by_utterance(utterances, shares), reason


def split_by_utterance(utterances: Sequence[Utterance], shares: dict[str, float]) -> dict[str, list[Utterance]]:
    """As `split_by_speaker`, whoever speaks; all parts but train are marked so."""
    by_id = {utterance.id: utterance for utterance in utterances}
    nameless = [dataclasses.replace(utterance, speaker="") for utterance in utterances]
    parts = {name: [by_id[u.id] for u in part] for name, part in split_by_speaker(nameless, shares).items()}
    return {name: part if name == "train" else _marked(part) for name, part in parts.items()}


def _marked(utterances: Sequence[Utterance]) -> list[Utterance]:
    """The utterances with the mark that shows reports that their speakers are in train too."""
    return [u.marked_by_utterance() for u in utterances]


def _speakers(utterances: Sequence[Utterance]) -> set[str]:
    return {utterance.speaker for utterance in utterances if utterance.speaker}


def first_minutes(utterances: Iterable[Utterance], minutes: float) -> list[Utterance]:
    """The utterances from the first on that last so many minutes together, or all if they last less."""
    taken, seconds = [], 0.0
    for utterance in utterances:
        if seconds >= 60 * minutes:
            break
        taken.append(utterance)
        seconds += utterance.duration
    return taken
