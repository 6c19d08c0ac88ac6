"""Files are written whole or not at all."""

from pathlib import Path

import pytest

from perfmodel.atomic import output_faults, replacing, write_text


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
