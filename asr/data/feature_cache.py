"""The features of a corpus, computed in several versions if the audio is augmented, and cached on disk.

The cache is float16, 58 MB per hour of audio, and mapped into memory: the processes of a run share its pages.
"""

import functools
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from asr.audio.augment import WaveformAugmenter, draw_changes
from asr.audio.config import ON_FEATURES, AugmentConfig, FeatureConfig
from asr.audio.features import VERSION
from asr.audio.torch_features import TorchLogMel
from asr.data.manifest import load_utterance
from asr.data.utterances import Utterance, durations_of
from asr.utils.config_io import marked, to_values
from asr.utils.cores import core_count
from asr.utils.files import replacing
from asr.utils.first_draws import first_integers
from asr.utils.prefetch import prefetch_map
from asr.utils.progress import progress_bar
from asr.utils.storage import identity
from asr.utils.worker_processes import clean_processes, ignore_interrupts

MANY_CORES, MANY_GIGABYTES = 4, 0.2  # from where on processes compute features: 0.2 GB are three hours
MADE_AHEAD = 64  # utterances whose features may be computed before they are written


class CorpusFeatures:
    """Normalised log-mel features of utterances, by epoch and position.

    The augmentation of version v of an utterance depends on (seed, v, position) only. Without `augment` there is one
    version, the unchanged audio.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        config: FeatureConfig,
        augment: AugmentConfig | None = None,
        seed: int = 0,
        most_versions: int | None = None,
    ):
        self.config, self.versions = config, min(augment.copies, most_versions or augment.copies) if augment else 1
        self._utterances, self._augment, self._seed = utterances, augment, seed
        self._count = len(utterances)
        self._log_mel = TorchLogMel(config)
        self._augmenter = WaveformAugmenter(augment, config.sample_rate) if augment else None
        self._speeds: dict[int, np.ndarray] = {}  # by version, as indices of the speeds of `augment`
        self._path: Path | None = None
        self._starts = np.zeros(1, np.int64)
        self._map: np.ndarray | None = None

    def durations(self, epoch: int) -> np.ndarray:
        """Seconds of each utterance after speed perturbation."""
        durations = durations_of(self._utterances)
        if not self._augment or set(self._augment.speeds) == {1.0}:
            return durations
        version = epoch % self.versions
        if version not in self._speeds:
            drawn = first_integers((self._seed, version), len(durations), len(self._augment.speeds))
            self._speeds[version] = drawn.astype(np.uint16)
        return durations / np.array(self._augment.speeds)[self._speeds[version]]

    def __call__(self, epoch: int, index: int) -> np.ndarray:
        """`(frames, mels)` float32, identical whether cached or computed. Epochs cycle through the versions.

        Raises `AudioError` naming a recording that cannot be read.
        """
        return self.of(self._utterances[index], epoch, index)

    def of(self, utterance: Utterance, epoch: int, index: int) -> np.ndarray:
        """The same for an object without the utterances, as worker processes get it."""
        version = epoch % self.versions
        if self._path is None:
            return self.make((utterance, version, index)).astype(np.float32)
        if self._map is None:
            shape = (int(self._starts[-1]), self.config.mels)
            self._map = np.memmap(self._path, np.float16, "r", shape=shape)
        start, end = self._starts[version * self._count + index :][:2]
        return self._map[start:end].astype(np.float32)

    def cache(self, folder: Path, most_gigabytes: float, log: Callable[[str], None]) -> None:
        """Cache all versions in `folder`, unless they are there already; `log` prints messages for the user.

        Features larger than `most_gigabytes` or the free disk space are not cached, but computed whenever they are
        needed. Raises `AudioError` naming an unreadable recording.
        """
        gigabytes = self.gigabytes
        if gigabytes > most_gigabytes:
            log(f"features take {gigabytes:.1f} GB, more than {most_gigabytes:g} GB: recomputed in every epoch")
            return
        path, jobs = folder / f"{self._key()}.features", self.versions * self._count
        if not path.exists():
            free = shutil.disk_usage(next(parent for parent in (folder, *folder.parents) if parent.exists())).free / 1e9
            if gigabytes > 0.9 * free:
                log(f"features take {gigabytes:.1f} GB, the disk has {free:.1f} GB free: recomputed in every epoch")
                return
            log(f"computing features: {gigabytes:.2f} GB in {folder}")
            self._write(path)
        lengths = np.fromfile(path, np.int64, offset=path.stat().st_size - 8 * jobs)
        self._starts = np.concatenate([[0], np.cumsum(lengths)])
        self._path = path

    @property
    def is_cached(self) -> bool:
        """Whether features are cached, not computed when needed."""
        return self._path is not None

    def __getstate__(self) -> dict:
        # For a worker process: pickling a mapped array would copy the whole file, and the corpus may be large.
        return self.__dict__ | {"_map": None, "_utterances": (), "_speeds": {}}

    def make(self, job: tuple[Utterance, int, int]) -> np.ndarray:
        """The features, `(frames, mels)` float16, of an utterance in a version, and its position."""
        utterance, version, index = job
        audio = load_utterance(utterance, self.config.sample_rate)
        samples = audio.samples
        if self._augment and self._augmenter:
            random = self._random(version, index)
            samples = self._augmenter(samples, draw_changes(self._augment, random), random)
        return self._log_mel(samples).astype(np.float16)

    def _random(self, version: int, index: int) -> np.random.Generator:
        return np.random.default_rng((self._seed, version, index))

    @functools.cached_property
    def gigabytes(self) -> float:
        """Size of the features of all versions."""
        seconds = sum(float(self.durations(version).sum()) for version in range(self.versions))
        return seconds / self.config.hop_seconds * self.config.mels * 2 / 1e9

    def _write(self, path: Path) -> None:
        """Write the features of all utterances, then the number of frames of each."""
        jobs = (
            (self._utterances[index], version, index)
            for version in range(self.versions)
            for index in range(self._count)
        )
        frames = []
        with replacing(path) as file, progress_bar("features", self.versions * self._count) as advance:
            for features in _in_order(self, jobs):
                file.write(features.tobytes())
                frames.append(len(features))
                advance(1)
            file.write(np.array(frames, np.int64).tobytes())

    def _key(self) -> str:
        """A hash of everything the features depend on: audio, options and how they are computed."""
        options = [VERSION, to_values(self.config)]
        if self._augment and self._augmenter:
            later = marked(AugmentConfig, ON_FEATURES)
            changes = {name: value for name, value in to_values(self._augment).items() if name not in later}
            noises = [identity(path) for path in self._augmenter.noise_paths]
            options += [changes, self._seed, self.versions, noises]
        # As of one list of all, which for millions of utterances would take gigabytes.
        digest = hashlib.sha256(b"[[")
        for index, utterance in enumerate(self._utterances):
            sound = [*identity(utterance.file), utterance.offset, utterance.duration, *(utterance.byte_range or ())]
            digest.update((", " if index else "").encode() + json.dumps(sound).encode())
        digest.update(f"], {json.dumps(options, sort_keys=True)}]".encode())
        return digest.hexdigest()[:16]


def _in_order(features: CorpusFeatures, jobs: Iterable[tuple[Utterance, int, int]]) -> Iterator[np.ndarray]:
    """The features of `jobs` in order, prefetched by threads; or by processes, which share no interpreter but take
    seconds to start, if there are many cores and hours of audio."""
    pool: Executor
    threads = torch.get_num_threads()
    # The pool already uses all cores: nested threads would only compete.
    torch.set_num_threads(1)
    if core_count() >= MANY_CORES and features.gigabytes >= MANY_GIGABYTES:
        pool, make = ProcessPoolExecutor(core_count(), clean_processes(), _start_worker, (features,)), _make_in_worker
    else:
        pool, make = ThreadPoolExecutor(core_count()), features.make
    try:
        yield from prefetch_map(make, jobs, pool, MADE_AHEAD)
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C and a damaged file must not wait for the rest
        torch.set_num_threads(threads)


_of_worker: list[CorpusFeatures] = []  # sent to a worker process once


def _start_worker(features: CorpusFeatures) -> None:
    ignore_interrupts()
    torch.set_num_threads(1)
    _of_worker.append(features)


def _make_in_worker(job: tuple[Utterance, int, int]) -> np.ndarray:
    return _of_worker[0].make(job)
