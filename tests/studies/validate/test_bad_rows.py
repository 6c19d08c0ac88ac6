"""A file with bad cells: refused as a whole with every cell named, or its other rows on request."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

import perfmodel as pm
from perfmodel.cli import main
from perfmodel.errors import InputError

GOOD = [
    "resnet18,a100,0.0011,fp16,,g1",
    "resnet50,a100,0.0019,fp16,,g2",
    "mobilenet_v2,a100,0.0012,fp16,,g3",
]
BAD = {
    "resnet18,a100,0,fp16,,zero": "'0' is not a measurement",
    "resnet18,a100,-1,fp16,,minus": "'-1' is not a measurement",
    "resnet18,a100,nan,fp16,,nan": "'nan' is not a measurement",
    "resnet18,a100,fast,fp16,,word": "'fast' is not a measurement",
    "resnet18,a100,1e99,fp16,,huge": "'1e99' is not a measurement",
    "resnet18,,0.001,fp16,,nameless": "the device that was measured",
    "resnet18,a100,0.001,fp16,-3,batch": "batch",
    "resnet18,a100,0.001": "6 cells",
}


def table(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(["model,device,latency_s,precision,batch,name", *rows]) + "\n")
    return path


@pytest.mark.parametrize("gzipped", [False, True])
def test_every_bad_cell_is_named_and_the_other_rows_are_predicted_on_request(
    tmp_path: Path, gzipped: bool
) -> None:
    mixed = [row for pair in zip(BAD, GOOD * 3, strict=False) for row in pair]
    path = table(tmp_path / "mine.csv", mixed)
    if gzipped:
        path = tmp_path / "mine.csv.gz"
        path.write_bytes(gzip.compress((tmp_path / "mine.csv").read_bytes()))
    with pytest.raises(InputError) as caught:
        pm.validate(str(path))
    (found,) = pm.validate(str(path), skip_bad_rows=True)
    # A row of three cells is a fault of the file's form, which comes alone.
    for text in (str(caught.value), " ".join(found.notes)):
        assert f"{path}:" in text
    (note,) = (n for n in found.notes if "left out" in n)
    for i, row in enumerate(BAD):
        assert f"{path}:{2 + 2 * i}:" in note, row
        assert BAD[row] in note, row
    clean = table(tmp_path / "clean.csv", [row for row in mixed if row not in BAD])
    (wanted,) = pm.validate(str(clean))
    assert found.mape == pytest.approx(wanted.mape, rel=1e-12)
    assert found.rows == len(mixed)
    assert found.coverage == pytest.approx(wanted.rows / len(mixed))
    assert sum(reason["rows"] for reason in found.unpredicted) == len(BAD)


def test_a_sound_file_is_the_same_with_and_without(tmp_path: Path) -> None:
    path = table(tmp_path / "sound.csv", GOOD)
    plain, skipping = (pm.validate(str(path), skip_bad_rows=flag)[0] for flag in (False, True))
    assert plain.to_dict() == skipping.to_dict()


def test_a_file_of_bad_rows_alone_is_refused_all_the_same(tmp_path: Path) -> None:
    path = table(tmp_path / "bad.csv", list(BAD)[:5])
    with pytest.raises(InputError) as caught:
        pm.validate(str(path), skip_bad_rows=True)
    assert len(caught.value.faults) == 5


def test_columns_without_a_meaning_are_refused_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "columns.csv"
    path.write_text("model,device,latency_s,colour\nresnet18,a100,0,red\nresnet18,a100,1e-3,red\n")
    with pytest.raises(InputError, match="colour"):
        pm.validate(str(path), skip_bad_rows=True)


def test_calibrate_takes_the_same_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path / "mine.csv", [*GOOD, *list(BAD)[:3]])
    clean = table(tmp_path / "clean.csv", GOOD)
    with pytest.raises(InputError) as caught:
        pm.calibrate(None, None, path)
    assert len([f for f in caught.value.faults if "not a measurement" in f.message]) == 3
    found = pm.calibrate(None, None, path, skip_bad_rows=True)
    wanted = pm.calibrate(None, None, clean)
    assert found.scale == pytest.approx(wanted.scale)
    assert found.rows == len(GOOD)
    assert "3 rows of 6 left out" in str(found)
    assert main(["calibrate", str(path)]) == 2
    assert main(["calibrate", str(path), "--skip-bad-rows", "--json"]) == 0
    assert "mine.csv:5:" in json.loads(capsys.readouterr().out)["notes"][0]
    assert main(["validate", str(path), "--skip-bad-rows"]) == 0
    assert "mine.csv:5:" in capsys.readouterr().out


@pytest.mark.data
def test_a_bad_cell_of_a_data_set_counts_as_empty_on_request(data: Path, tmp_path: Path) -> None:
    name = "llamacpp_rpi5_quant_energy"
    from perfmodel.evaluate.data_files import data_folder
    from perfmodel.evaluate.datasets import dataset

    source = data_folder(data).need(name, *dataset(name).PLACES)
    text = source.read_text().splitlines()
    header = text[0].split(",")
    column = next(i for i, c in enumerate(header) if "tok" in c or "tps" in c or "per_s" in c)
    cells = text[1].split(",")
    cells[column] = "0"
    folder = tmp_path / source.parent.relative_to(data)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / source.name).write_text("\n".join([text[0], ",".join(cells), *text[2:]]) + "\n")
    with pytest.raises(InputError, match="'0' is not a measurement"):
        pm.validate(name, data=tmp_path)
    (found,) = pm.validate(name, data=tmp_path, skip_bad_rows=True)
    (wanted,) = pm.validate(name, data=data)
    assert any(":2:" in note and "'0'" in note for note in found.notes)
    whole = {(row["name"], row["target"]): row["predicted"] for row in wanted.predictions}
    others = {(row["name"], row["target"]): row["predicted"] for row in found.predictions}
    assert len(others) >= len(whole) - 2 > 0
    assert others == {key: pytest.approx(whole[key]) for key in others}
