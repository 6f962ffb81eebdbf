"""Where compiled code and compiled language models are kept between runs."""

import functools
import os
import stat
import tempfile
from pathlib import Path

from asr.utils.messages import tell


def user_cache() -> Path | None:
    """The user's cache folder: $XDG_CACHE_HOME/asr, else ~/.cache/asr, else one below the system's temporary folder.

    Falling back to a temporary folder, or to none (None), is reported once.
    """
    home = os.path.expanduser("~")  # "~" itself for a user without a home, as in many containers
    parents = [os.environ.get("XDG_CACHE_HOME", ""), os.path.join(home, ".cache")]
    return _first_writable(tuple(Path(parent) / "asr" for parent in parents if os.path.isabs(parent)))


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
