"""What many epochs print arrives as it would have, in one piece."""

import io
import sys

import pytest

from goodfit.training.output import gathered


class Terminal(io.StringIO):
    calls = 0

    def write(self, text):
        self.calls += 1
        return super().write(text)

    def isatty(self):
        return True


def test_the_text_is_the_same_and_is_written_once(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    with gathered():
        assert sys.stdout.isatty()
        print("one", "two", sep=" ", end="", flush=True)
        sys.stdout.writelines(["a\n", "b\n"])
        assert not terminal.calls
    print("after")
    assert terminal.getvalue() == "one twoa\nb\nafter\n"
    assert terminal.calls == 3  # print writes its end by itself
    assert sys.stdout is terminal


def test_nothing_is_lost_by_an_exception_or_another_stream(monkeypatch):
    terminal, other = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", terminal)

    def interrupted():
        print("told")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), gathered():
        interrupted()
    assert terminal.getvalue() == "told\n"
    with gathered():
        print("kept")
        sys.stdout = other  # set for good by somebody within
    assert sys.stdout is other
    assert terminal.getvalue() == "told\nkept\n"


def test_without_a_stream(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with gathered():
        assert sys.stdout is None
