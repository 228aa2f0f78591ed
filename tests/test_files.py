"""Files are there whole or not at all, and only where they may be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from speechtl.errors import DataError, OutputError
from speechtl.files import read_jsonl, replacing, require_writable, write_jsonl, write_text


def test_a_replacement_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("old")

    def fill_the_disk() -> None:
        with replacing(path) as partial:
            partial.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        fill_the_disk()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_text_file_is_written_as_it_is(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "notes.srt", "naïve\r\nend\n")
    assert (tmp_path / "new" / "notes.srt").read_bytes() == "naïve\r\nend\n".encode()


def test_a_folder_that_may_be_written_is_let_through_and_not_made(tmp_path: Path) -> None:
    require_writable(tmp_path / "new" / "below")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_a_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file is a file; name another folder"):
        require_writable(tmp_path / "file" / "below")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(OutputError, match="may not be written"):
        require_writable(tmp_path / "new")

    def denied(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", denied)
    with pytest.raises(OutputError, match=r"cannot write .*new: Permission denied"):
        require_writable(tmp_path / "new")


def test_json_lines_come_back_with_their_line_numbers(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows: list[dict[str, Any]] = [{"text": "naïve\n"}, {"n": 1.5}]
    write_jsonl(path, rows)
    assert "naïve" in path.read_text(encoding="utf-8")
    assert list(read_jsonl(path)) == [(1, rows[0]), (2, rows[1])]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_jsonl(path, [{"n": float("nan")}])
    assert list(read_jsonl(path)) == [(1, rows[0]), (2, rows[1])]
    path.write_text("{}\n\nno\n3\n", encoding="utf-8")
    with pytest.raises(DataError, match="2 faults") as caught:
        read_jsonl(path)
    assert [fault.split(": ")[0] for fault in caught.value.faults] == [
        "rows.jsonl:3",
        "rows.jsonl:4",
    ]
