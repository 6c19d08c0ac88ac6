"""Published claims: the form of their files, how a verdict is reached, the command."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from perfmodel.cli import main
from perfmodel.errors import InputError
from perfmodel.evaluate import names, published
from perfmodel.evaluate import reproduce as face
from perfmodel.evaluate import reproduce as run_all

GOOD = """
schema_version: 1
system: made
title: A made-up system
sources:
  paper: {title: A paper, url: "https://example.org/paper"}
claims:
  - {claim: exact, title: met, published: 2.0, unit: ms, source: paper, basis: first_principles}
  - {claim: near, title: at the edge, published: 10.0, unit: ms, source: paper, basis: given,
     constants: [rate 1 GB/s]}
  - {claim: far, title: missed, published: 10.0, unit: ms, source: paper, basis: fitted,
     tolerance: 0.25, note: why it misses}
  - {claim: hidden, title: not public, published: null, source: paper, basis: first_principles}
  - {claim: nothing, title: zero, published: 0, unit: bytes, source: paper, basis: given}
  - {claim: below, title: a bound kept, published: null, between: [null, 6], source: paper, unit: W,
     basis: given}
  - {claim: among, title: a range missed, published: null, between: [20, 32], source: paper,
     basis: given}
  - {claim: above, title: a bound missed, published: null, between: [4, null], source: paper,
     basis: given}
  - claim: asked
    title: ResNet-18 has 1.814 GMAC
    published: 1.8141e9
    source: paper
    basis: first_principles
    ask: {workload: resnet18, device: h100, metric: macs}
"""
NUMBERS = {
    "exact": 2.0,
    "near": 11.0,
    "far": 13.0,
    "hidden": 5.0,
    "nothing": 0.0,
    "below": 5.0,
    "among": 48.0,
    "above": 3.0,
}


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    module = "perfmodel.evaluate.claims"
    file = tmp_path / "made.yaml"
    monkeypatch.setattr(f"{module}._systems", lambda: {"made": (file, "made_numbers")})
    monkeypatch.setattr(f"{module}.find_spec", lambda name: object() if "made" in name else None)
    monkeypatch.setattr(
        f"{module}.module_of", lambda _: SimpleNamespace(predicted=lambda: dict(NUMBERS))
    )
    (tmp_path / "made.yaml").write_text(GOOD)
    return tmp_path


def test_verdicts(made: Path) -> None:
    found = {row.claim: row for row in face("made")}
    assert found["exact"].verdict == "within"
    assert found["near"].verdict == "within"
    assert found["near"].error == pytest.approx(0.1)
    assert found["far"].verdict == "off"
    assert found["far"].error == pytest.approx(0.3)
    assert found["hidden"].verdict == "not_public"
    assert found["hidden"].error is None
    assert found["nothing"].verdict == "within"
    assert found["asked"].predicted == pytest.approx(1.8141e9, rel=1e-3)
    text = repr(face("made"))
    assert "5 within, 3 off, 1 not public; of 2 from first principles 2 within" in text
    assert face("made").table["verdict"].tolist().count("within") == 5


def test_ranges_and_bounds_are_scored_as_such(made: Path) -> None:
    found = {row.claim: row for row in face("made")}
    assert (found["below"].verdict, found["below"].error) == ("within", None)
    assert (found["among"].verdict, found["among"].error) == ("off", pytest.approx(0.5))
    assert (found["above"].verdict, found["above"].error) == ("off", pytest.approx(-0.25))
    assert found["among"].published is None
    assert found["among"].to_dict()["between"] == [20.0, 32.0]
    lines = repr(face("made"))
    assert "<= 6" in lines
    assert "20 to 32" in lines
    assert ">= 4" in lines


def test_command_prints_rows_and_json(
    made: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["reproduce", "made"]) == 0
    text = capsys.readouterr().out
    assert "made.far" in text
    assert "+30.0 %" in text
    assert main(["reproduce", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["claim"] for row in rows][:2] == ["exact", "near"]
    assert set(rows[0]) >= {
        "system",
        "claim",
        "published",
        "predicted",
        "error",
        "basis",
        "verdict",
        "constants",
    }
    path = tmp_path / "claims.json"
    assert main(["reproduce", "made", "-o", str(path)]) == 0
    assert json.loads(path.read_text()) == rows


def test_unknown_names_are_refused_together(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "mad", "zzz"]) == 2
    err = capsys.readouterr().err
    assert "did you mean 'made'?" in err
    assert "'zzz'" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("source: paper, basis: given}", "source: papr, basis: given}", "did you mean 'paper'?"),
        ("basis: fitted", "basis: guessed", "claims.2.basis"),
        ("claim: near", "claim: exact", "used twice"),
        ("system: made", "system: other", "calls itself 'other'"),
        ("claim: far", "claim: farther", "nothing predicts this claim"),
        ("between: [20, 32]", "between: [32, 20]", "32 is above 20"),
        ("between: [4, null]", "between: [null, null]", "has no end"),
        ("null, between: [20", "4, between: [20", "stands beside a published number"),
    ],
)
def test_faults_of_a_file(made: Path, old: str, new: str, said: str) -> None:
    (made / "made.yaml").write_text(GOOD.replace(old, new))
    with pytest.raises(InputError, match=r"made\.yaml") as caught:
        run_all("made")
    assert said in str(caught.value)


def test_every_shipped_claim_that_was_fitted_names_its_constants() -> None:
    """Files are good; what each claim comes to is held by `tests/golden`."""
    for system in names():
        claims = published(system).claims
        assert len({claim.claim for claim in claims}) == len(claims)
        for claim in claims:
            assert claim.basis != "fitted" or claim.constants, claim.claim
