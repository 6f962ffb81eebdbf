"""Errors that a user can cause and fix; the command line prints them as one line and exits with status 2."""

import re
import unicodedata

LONGEST_MESSAGE = 2000  # characters

SCHEMES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "http", "https", "hf", "memory")  # of URLs
# By the paths of local copies, the URLs that they were made from and that messages name.
addresses: dict[str, str] = {}
SHORTENED_URL = re.compile(rf"(?<![\w/])({'|'.join(SCHEMES)}):/(?=[^/])")  # as a `Path` holds it


class AsrError(Exception):
    """Something the user can fix: the message says what is wrong, where, and what to do, in one line.

    Messages quote files, and a damaged one may contain line ends or a word of a megabyte.
    """

    exit_status = 2

    def __str__(self) -> str:
        message = super().__str__()
        if len(message) > LONGEST_MESSAGE:
            message = f"{message[: LONGEST_MESSAGE * 3 // 4]} ... {message[-LONGEST_MESSAGE // 5 :]}"
        return one_line(message)


def one_line(text: str) -> str:
    """Text with line ends and other control characters written as escapes, and with whole URLs."""
    for copy, address in addresses.items():
        text = text.replace(copy, address)
    text = SHORTENED_URL.sub(r"\1://", text)
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text)


class UsageError(AsrError):
    """A command line without a command, or with one that does not exist."""


class AudioError(AsrError):
    """A sound file that is missing, unreadable, cut short or empty."""


class AudioTooLongError(AudioError):
    """A sound file with more sound than is wanted."""


class ManifestError(AsrError):
    """A manifest, or a corpus on its way to one, that cannot be used."""


class ConfigError(AsrError):
    """A recipe with an unknown key, a wrong type or a value out of range."""


class TextError(AsrError):
    """Text that the alphabet cannot spell, or a normalizer that does not exist."""


class ModelFileError(AsrError):
    """A model file or checkpoint that is cut short, of another kind, or from a newer version."""


class LanguageModelError(AsrError):
    """A language model file that is damaged or of another kind, or text that no model can be made from."""


class LexiconError(AsrError):
    """A lexicon file that cannot be read or that lacks pronunciations."""


class DecoderError(AsrError):
    """A decoder that cannot be set up, or log-probabilities that it cannot search."""


class TrainingError(AsrError):
    """Training that cannot start or continue: unusable data, a NaN loss, a changed recipe."""


class ScoreError(AsrError):
    """Transcripts that cannot be scored against each other, or reports that cannot be compared."""


class Interrupted(AsrError):  # noqa: N818 (nothing went wrong)
    """Stopped by the user (Ctrl-C or SIGTERM) after saving the work done; the message says how to resume."""

    exit_status = 130
