"""What a configuration is read from is a file that ends: nothing else is waited for."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tollway.config import files
from tollway.config.load import load
from tollway.config.problems import ConfigError
from tollway.config.secret import from_file
from tollway.config.tls import UnusableFile, server_tls
from tollway.metering.price_files import read_book


def test_a_file_is_read_up_to_one_byte_over_its_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    assert files.read(tmp_path / "link", 5) == b"12345"
    assert files.read(tmp_path / "file", 3) == b"1234"


def test_what_is_not_there_or_a_folder_is_said_as_ever(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.read(tmp_path / "nowhere", 1)
    with pytest.raises(IsADirectoryError, match="Is a directory"):
        files.read(tmp_path, 1)
    with pytest.raises(ValueError, match="null"):
        files.read(Path("a\0b"), 1)


def _tls(path: Path) -> object:
    return server_tls(path, path, None)


@pytest.mark.parametrize("read", [lambda path: load(path, {}), from_file, _tls, read_book])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_a_device_in_a_files_place_is_refused_at_once(
    read: Callable[[Path], object], kind: str, tmp_path: Path
) -> None:
    path = Path("/dev/zero")
    if kind == "pipe":
        path = tmp_path / "pipe"
        os.mkfifo(path)  # nobody writes to it: to open it as a file is opened would wait for ever
    with pytest.raises(
        (ConfigError, UnusableFile, ValueError), match="not a regular file: a pipe or a device may never"
    ):
        read(path)
