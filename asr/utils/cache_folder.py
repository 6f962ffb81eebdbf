"""Where compiled code and compiled language models are kept between runs."""

import functools
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from asr.utils.messages import tell


def user_cache() -> Path | None:
    """The user's cache folder: $XDG_CACHE_HOME/asr, else ~/.cache/asr, else one below the system's temporary folder.

    Falling back to a temporary folder, or to none (None), is reported once.
    """
    home = os.path.expanduser("~")  # "~" itself for a user without a home, as in many containers
    parents = [os.environ.get("XDG_CACHE_HOME", ""), os.path.join(home, ".cache")]
    return _first_writable(tuple(Path(parent) / "asr" for parent in parents if os.path.isabs(parent)))


def cache_paths(path: Path, suffix: str) -> Iterator[Path]:
    """Where the compiled form of a file may be: beside it, or in the user's cache folder."""
    yield path.with_name(path.name + suffix)
    if folder := user_cache():
        name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
        yield folder / suffix.removeprefix(".asr") / f"{path.stem}-{name}{suffix}"


@functools.cache
def _first_writable(folders: tuple[Path, ...]) -> Path | None:
    for folder in folders:
        if is_writable(folder):
            return folder
    temporary = _temporary()
    found = f"caching in {temporary}" if temporary else "nothing is cached, so compiling is repeated in each run"
    tell(f"the cache folder is not writable: {found}; set XDG_CACHE_HOME to a writable folder")
    return temporary


def is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _temporary() -> Path | None:
    """A folder in the system's temporary one, if only this user can write to it: code is loaded from it."""
    try:
        folder = Path(tempfile.gettempdir()) / f"asr-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return folder if own and is_writable(folder) else None
