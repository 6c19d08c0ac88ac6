"""Files are written whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from perfmodel.atomic import output_faults, replacing, streamed, write_text
from perfmodel.errors import InputError


def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with replacing(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_failure_leaves_the_earlier_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "earlier")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_permissions_are_those_of_a_new_file_or_of_the_old_one(tmp_path: Path) -> None:
    ordinary, path = tmp_path / "ordinary", tmp_path / "a.txt"
    ordinary.touch()
    write_text(path, "x")
    assert path.stat().st_mode == ordinary.stat().st_mode
    path.chmod(0o600)
    write_text(path, "y")
    assert path.stat().st_mode & 0o777 == 0o600


def test_faults_are_found_before_anything_is_written(tmp_path: Path) -> None:
    assert output_faults(tmp_path / "a.csv", (".csv",)) == []
    (wrong,) = output_faults(tmp_path / "a.cvs", (".csv", ".parquet"))
    assert wrong.suggestion == "a.csv"
    (folder,) = output_faults(tmp_path)
    assert "is a folder" in folder.message
    (absent,) = output_faults(tmp_path / "no" / "a.csv", (".csv",))
    assert "there is no folder" in absent.message
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_and_the_file_at_its_end_is_written(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    real, link, chain = tmp_path / "far" / "a.txt", tmp_path / "b.txt", tmp_path / "c.txt"
    link.symlink_to(Path("far") / "a.txt")
    chain.symlink_to(link)
    for name, text in ((link, "new"), (chain, "newer")):  # the first time nothing is there yet
        assert output_faults(name, (".txt",)) == []
        write_text(name, text)
        assert link.is_symlink()
        assert chain.is_symlink()
        assert real.read_text() == text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.txt", "c.txt", "far"]
    assert [p.name for p in (tmp_path / "far").iterdir()] == ["a.txt"]


def test_what_a_link_leads_to_decides_whether_it_can_be_written(tmp_path: Path) -> None:
    loop, lost, folder = tmp_path / "loop", tmp_path / "lost", tmp_path / "folder"
    loop.symlink_to(loop)
    lost.symlink_to(tmp_path / "absent" / "a.txt")
    folder.symlink_to(tmp_path)
    for path, part in ((loop, "loop"), (lost, "there is no folder"), (folder, "is a folder")):
        (fault,) = output_faults(path)
        assert part in fault.message
        assert path.is_symlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_is_sent_the_bytes_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "a.txt"
    os.mkfifo(pipe)
    assert streamed(pipe)
    assert output_faults(pipe, (".txt",)) == []
    with pytest.raises(InputError, match="nothing reads"):  # and no wait for a reader
        write_text(pipe, "lost")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_text(pipe, "text")
        assert os.read(reader, 100) == b"text"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_device_takes_the_bytes_and_stays() -> None:
    before = os.stat(os.devnull)
    write_text(os.devnull, "text")
    after = os.stat(os.devnull)
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="no names for what is open")
def test_what_is_open_already_is_written_on_and_not_over(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with path.open("wb", buffering=0) as file:
        file.write(b"before ")
        for name in (f"/dev/fd/{file.fileno()}", tmp_path / "link"):
            if isinstance(name, Path):
                name.symlink_to(f"/dev/fd/{file.fileno()}")
            assert output_faults(name) == []
            write_text(name, "text ")
        file.write(b"after")
        closed = os.dup(file.fileno())
        os.close(closed)
        (fault,) = output_faults(f"/dev/fd/{closed}")
        assert "cannot be written to" in fault.message
    assert path.read_text() == "before text text after"


def test_a_name_without_a_suffix_suits_a_pipe_where_one_form_alone_can_be_meant() -> None:
    assert output_faults(os.devnull, (".json", ".txt")) == []
    assert output_faults(os.devnull, (".html",)) == []
    (fault,) = output_faults(os.devnull, (".csv", ".parquet"))
    assert "has no suffix that states its format" in fault.message
