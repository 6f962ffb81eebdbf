"""Which recordings of a manifest are missing."""

import os
import sys
from array import array
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from asr.data.utterances import Utterances
from asr.utils import storage

CHUNK = 1 << 13  # recordings looked for at a time
MOST_ENTRIES = 10  # of a folder per recording sought there: with more, asking for each is cheaper than a list


def missing_recordings(utterances: Utterances, first: int, folder: Path) -> list[int]:
    """The rows from `first` on, all relative to `folder`, whose recording, or its part of a shard, is not there.

    Recordings in object stores count as there: a request for each would take hours, and reading reports it.
    """
    if storage.is_url(folder):
        return []
    sizes: dict[int, int] = {}  # of shards
    missing = []
    for row, path in _unlisted(utterances, first, folder):
        ((start, size, shard),) = utterances.byte_ranges(row, row + 1).tolist()
        if shard >= 0 and shard not in sizes:
            sizes[shard] = _size(folder, utterances.shard_paths[shard])
        if start + size > sizes[shard] if shard >= 0 else _size(folder, path) < 0:
            missing.append(row)
    return missing


def _size(folder: Path, path: str) -> int:
    """Bytes of a file; -1 if there is none."""
    if storage.is_url(path):
        return sys.maxsize
    file = os.path.join(folder, path)
    return os.path.getsize(file) if os.path.isfile(file) else -1


def _unlisted(utterances: Utterances, first: int, folder: Path) -> Iterator[tuple[int, str]]:
    """Rows and paths of the recordings from `first` on that the lists of their folders lack: these may be short.

    A list takes a fifth of the time of asking for each file. Names are compared by their hashes, of 8 bytes each.
    """
    listed = _listed(utterances, first, folder)
    paths = utterances.paths.since(first)
    for row in range(first, len(utterances), CHUNK):
        chunk = list(islice(paths, CHUNK))
        hashes = np.array(list(map(hash, chunk)))
        is_listed = listed[np.searchsorted(listed, hashes)] == hashes
        yield from ((row + index, chunk[index]) for index in np.flatnonzero(~is_listed).tolist())


def _listed(utterances: Utterances, first: int, folder: Path) -> np.ndarray:
    """Hashes of the paths of files in the recordings' folders, sorted, and a last one that is larger."""
    sought = Counter(path.rpartition("/")[0] for path in utterances.paths.since(first))
    found = array("q", [sys.maxsize])
    for place, count in sought.items():
        try:
            with os.scandir(os.path.join(folder, place)) as entries:
                files = (entry.name for entry in islice(entries, MOST_ENTRIES * count) if entry.is_file())
                found.extend(hash(f"{place}/{name}" if place else name) for name in files)
        except (OSError, ValueError):  # of a folder that is not there, or cannot be
            continue
    hashes = np.asarray(found)
    hashes.sort()
    return hashes
