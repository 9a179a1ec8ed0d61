"""Lists of pictures to leave out: whatever a file may be called goes there and back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alexnet.errors import UsageError
from alexnet.pictures.skip_list import read_skip_list, write_skip_list

NAMES = st.one_of(st.binary(min_size=1, max_size=20).map(os.fsdecode), st.text(min_size=1, max_size=20))
ODD = ['"quoted".jpg', "\ufeffmark.jpg", "a\nb", "a\r\nb", "a\rb", "-rf", " space ", "#1", "café", "x\x85y", "\u2028"]
ODD += [os.fsdecode(b"caf\xe9"), "\ud800", '"', "[1]", "null", "a\tb", "a\x0bb", "\\n"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(NAMES, max_size=6))
def test_every_name_goes_there_and_back(tmp_path: Path, names: list[str]) -> None:
    write_skip_list(tmp_path / "list", names)
    assert read_skip_list(tmp_path / "list") == tuple(names)


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_odd_names_go_there_and_back(tmp_path: Path, name: str) -> None:
    write_skip_list(tmp_path / "list", [name, "plain.jpg", name])
    assert read_skip_list(tmp_path / "list") == (name, "plain.jpg", name)


def test_plain_names_stand_as_they_are(tmp_path: Path) -> None:
    """So that other programs can read and write such lists, `find` among them."""
    names = ["cats/1.jpg", "-dash.jpg", " a b .png", "caf\u00e9.jpg", os.fsdecode(b"caf\xe9.jpg")]
    write_skip_list(tmp_path / "list", names)
    assert (tmp_path / "list").read_bytes() == b"".join(os.fsencode(name) + b"\n" for name in names)


def test_lists_of_other_programs(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"\xef\xbb\xbfcats/1.jpg\r\n\r\ndogs/2.jpg")
    assert read_skip_list(tmp_path / "list") == ("cats/1.jpg", "dogs/2.jpg")


@pytest.mark.parametrize("content", [b'"never closed\n', b'"a"b\n'])
def test_what_is_no_list_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(UsageError, match="list: not a skip list"):
        read_skip_list(tmp_path / "list")
    with pytest.raises(UsageError, match="No such file"):
        read_skip_list(tmp_path / "none")
