"""What `--help` and `--version` print: groups of commands, short summaries, defaults that mean something."""

import re
from pathlib import Path

import pytest
from command_line import COMPLETE, ERROR

import asr as package
from asr.cli.main import command_line
from asr.cli.subcommands import CommandLine


def every_command(groups, before=()):
    """The words of each command, with those that only list others."""
    for group in groups:
        for name, command in group.commands.items():
            yield (*before, name), command
            if isinstance(command, CommandLine):
                yield from every_command(command.groups, (*before, name))


GROUPS = command_line().groups
COMMANDS = dict(every_command(GROUPS))


def plain(text):
    """Text without box drawing and line ends."""
    return " ".join(re.sub("[│╭╮╰╯─]", " ", text).split())


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_of_a_command(asr, command):
    result = asr(*command, "--help")
    assert (result.returncode, result.stderr) == (COMPLETE, "")
    text = plain(result.stdout)
    assert "(default: )" not in text and "(default: '')" not in text
    assert str(Path(package.__file__).parent) not in text
    assert not re.search(r"\(default: /", text), "a default that is a path is relative, or a file of this package"


@pytest.mark.parametrize("command", ["evaluate", "prepare"])
def test_options_that_commands_share_speak_of_no_other_command(asr, command):
    assert "asr transcribe" not in plain(asr(command, "--help").stdout)


def test_help_texts_have_no_line_breaks_in_the_middle():
    """tyro keeps a break of the source where the next line begins with anything but a letter."""
    for path in Path(package.__file__).parent.rglob("config.py"):
        fields = re.findall(r"(?:^    #: .*\n)+", path.read_text(), re.MULTILINE)
        sections = re.findall(r'^    """(?:[^"\n]+\n)+', path.read_text(), re.MULTILINE)
        for text in fields + sections:
            first, *further = (line.removeprefix("    #: ").strip() for line in text.splitlines())
            assert all(line[:1].isalpha() for line in further), f"{path}: {first}"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_summaries_are_short_sentences(command):
    summary = COMMANDS[command].summary
    assert len(summary) < 70 and summary[0].isupper() and summary.endswith("."), summary


def test_list_of_commands_is_grouped_and_has_a_line_per_command(asr):
    lines = asr("--help").stdout.splitlines()
    for group in GROUPS:
        first = lines.index(group.title) + 1
        assert [line.split()[0] for line in lines[first : first + len(group.commands)]] == list(group.commands)
    assert max(map(len, lines)) <= 80


def test_version(asr):
    result = asr("--version")
    assert (result.returncode, result.stdout) == (COMPLETE, f"asr {package.__version__}\n")


def test_wrong_command_is_corrected(asr):
    result = asr("trancribe", "a.wav")
    assert result.returncode == ERROR
    assert "'trancribe'" in result.stderr and "'transcribe'" in result.stderr
