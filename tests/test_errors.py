"""Messages name options on the command line, and the arguments that they are in Python."""

from __future__ import annotations

import inspect
import shlex

import pytest

import goodfit
from goodfit.errors import _LISTS, _NUMBERS, _OTHERS, _TRUTHS, InputError, as_arguments, option


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Leave --task out.", "Leave `task` out."),
        ("Give --test-size such as 0.2.", "Give `test_size` such as 0.2."),
        ("Give another name (--name), or --overwrite.", "Give another name (`name`), or overwrite=True."),
        (f"Give {option('encoding', 'utf-16-le')}.", "Give encoding='utf-16-le'."),
        (f"{option('validation', '1.5')} is wrong.", "validation=1.5 is wrong."),
        (f"({option('na', 'inf', '-inf')})", "(na=['inf', '-inf'])"),
        (
            "pip install --no-deps x; --names-of a; goodfit --debug",
            "pip install --no-deps x; --names-of a; goodfit --debug",
        ),
    ],
)
def test_options_become_arguments(text, said):
    assert as_arguments(text) == said


@pytest.mark.parametrize("value", ["mpg", "a b", "it's", "-inf", "$4", ",", "1.2.", 'say "so"', "--drop x", ""])
def test_any_value_comes_through_a_shell_and_into_python(value):
    said = option("drop", value)
    assert shlex.split(said) == [f"--drop={value}"]
    assert as_arguments(f"or {said}.") == f"or drop={[value]!r}."


def test_what_is_translated_is_an_argument():
    known = {*inspect.signature(goodfit.train).parameters, *inspect.signature(goodfit.improve).parameters}
    assert {name.replace("-", "_") for name in (*_LISTS, *_NUMBERS, *_TRUTHS, *_OTHERS)} <= known


def test_the_exception_speaks_python_and_its_parts_the_command_line():
    error = InputError("--validation=2 is wrong.", "Leave --validation out.")
    assert str(error) == "validation=2 is wrong. Leave `validation` out."
    assert error.on_the_command_line == "--validation=2 is wrong. Leave --validation out."
