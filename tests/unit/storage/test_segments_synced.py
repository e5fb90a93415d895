"""What is forced to the disk: a file's bytes, and a folder's names where the system keeps them apart."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from storage.recordings.segments import sync_path


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each thing that was synced, whether it is a folder."""
    found: list[bool] = []
    real = os.fsync

    def noted(fd: int) -> None:
        found.append(stat.S_ISDIR(os.fstat(fd).st_mode))
        real(fd)

    monkeypatch.setattr(os, "fsync", noted)
    return found


def test_a_folder_s_names_and_a_file_s_bytes_are_synced(tmp_path: Path, synced: list[bool]) -> None:
    """A new name is lost with the power if its folder was not."""
    file = tmp_path / "rows"
    file.write_bytes(b"1")
    sync_path(file)
    sync_path(tmp_path)
    assert synced == [False, True]


def test_windows_opens_no_folder(tmp_path: Path, synced: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps names by itself; files are synced there too."""
    file = tmp_path / "rows"
    file.write_bytes(b"1")
    monkeypatch.setattr("storage.recordings.segments.os.name", "nt")
    sync_path(file)
    sync_path(tmp_path)
    monkeypatch.undo()
    assert synced == [False]
