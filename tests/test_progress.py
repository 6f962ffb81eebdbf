"""asr.utils.progress: what a terminal shows, and that results still go where they belong."""

import io
import re
import sys

from asr.utils.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def on_terminal(monkeypatch) -> Terminal:
    """Called in the test itself: pytest sets stderr anew after the fixtures."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    return sys.stderr


def test_audio_has_a_speed_and_a_time_to_go(monkeypatch):
    terminal = on_terminal(monkeypatch)
    with progress_bar("transcribing", 100.0, audio=True) as advance:
        advance(50.0)
    shown = terminal.getvalue()
    assert "transcribing" in shown and "50%" in shown and "to go" in shown
    assert re.search(r"[1-9]\d* times real time", shown)


def test_a_note_is_shown(monkeypatch):
    terminal = on_terminal(monkeypatch)
    with progress_bar("transcribing", 100.0) as advance:
        advance(50.0, "2.5 h, 1 failed")
    assert "50%" in terminal.getvalue() and "2.5 h, 1 failed" in terminal.getvalue()


def test_results_go_to_their_file_while_the_bar_is_on_the_terminal(monkeypatch, capsys):
    terminal = on_terminal(monkeypatch)
    with progress_bar("transcribing", 2.0, audio=True) as advance:
        advance(1.0)
        print("the words")
    assert capsys.readouterr().out == "the words\n"
    assert "the words" not in terminal.getvalue()


def test_nothing_is_shown_in_a_file(capsys):
    with progress_bar("transcribing", 2.0, audio=True) as advance:
        advance(1.0)
    assert capsys.readouterr() == ("", "")
