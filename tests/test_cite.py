"""Citations: every equation's names a document or says what stands behind it, and none is lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.hardware.library import names as runtimes
from perfmodel.hardware.library import runtime
from perfmodel.hardware.quantity import Quantity
from perfmodel.kinds import kind, names
from perfmodel.prediction.explain import used_facts
from perfmodel.references import Reference, known, resolve, same_address, to_bibtex
from perfmodel.references.catalogue import by_address
from perfmodel.table import Table
from tests.draws import draws
from tests.offenders import each

ROOT = Path(__file__).resolve().parent.parent
EQUATIONS = [
    (f"{name}.{term}", equation.citation)
    for name in names()
    for term, equation in kind(name).equations.items()
]


@each("term, citation", EQUATIONS)
def test_the_citation_of_every_equation_resolves(term: str, citation: str) -> None:
    found = resolve(citation)
    assert found.unknown == (), term
    assert found.references or found.pages or found.meanings, term
    assert [page for page in found.pages if not (ROOT / page).exists()] == []


def test_the_catalogue_names_each_document_once() -> None:
    assert len(known()) >= 25
    for key, reference in known().items():
        assert reference.title
        assert re.fullmatch(r"[a-z][a-z0-9_]*", key)
        assert reference.documented
    addresses = [same_address(r.url) for r in known().values() if r.url]
    assert len(addresses) == len(set(addresses))
    assert len({r.title.lower() for r in known().values()}) == len(known())
    # Texts that nothing cites any more would rot.
    cited = " ".join(citation for _, citation in EQUATIONS)
    by_equations = {
        key for _, citation in EQUATIONS for key in (r.key for r in resolve(citation).references)
    }
    assert {"williams_2009", "ilic_2014", "samajdar_2020", "chen_2016"} <= by_equations
    assert "Williams et al., CACM" in cited


def test_addresses_are_told_apart_by_what_matters() -> None:
    same = {"https://arxiv.org/abs/2401.03868", "http://www.arxiv.org/pdf/2401.03868v2"}
    assert {same_address(url) for url in same} == {"arxiv:2401.03868"}
    assert by_address()["arxiv:2401.03868"].key == "flightllm_2024"
    assert same_address("https://a.org/x/") == same_address("http://www.a.org/x")
    assert same_address("https://a.org/x") != same_address("https://a.org/y")


#: Network, device, options: kinds, runtimes with and without constants, energies by tables, heirs.
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("llama_3_8b", "jetson_agx_orin", {"precision": "w4a16kv8"}),
    ("mlperf_tiny_vww", "stm32u575", {}),
    ("resnet18", "zcu104", {}),
    ("resnet18", "apple_a18_pro", {}),
    ("mobilenet_v2", "ethos_u85", {}),
    ("resnet18", "gemmini_16x16", {}),
]


@pytest.mark.parametrize(("network", "device", "options"), CASES)
def test_every_fact_used_is_accounted_for(
    network: str, device: str, options: dict[str, Any]
) -> None:
    p = pm.predict(network, device, **options)
    found = p.cite()
    keys = [each.reference.key for each in (*found.cited, *found.undocumented)]
    assert len(keys) == len(set(keys))
    told = {
        path
        for each in (*found.cited, *found.undocumented)
        for group in ("device", "runtime", "energy tables")
        for path in each.uses.get(group, ())
    } | set(found.unsourced)
    origins = p.machine.provenance
    stated = {
        path for path in used_facts(p) if path in origins and origins[path].writer != "default"
    }
    assert stated <= told
    groups = {group for each in found.cited for group in each.uses}
    assert {"software", "equations", "device", "workload"} <= groups
    text = str(found)
    assert all(f"[{each.reference.key}]" in text for each in found.cited)
    assert found.to_dict()["references"][0]["key"] == "perfmodel"
    assert entries(found.bibtex()) == [each.reference.key for each in found.cited]


def test_what_was_fitted_says_on_what_and_what_was_assumed_is_no_document() -> None:
    found = pm.predict("mlperf_tiny_vww", "stm32u575").cite()
    fitted = {path for paths in found.fitted_on.values() for path in paths}
    assert "runtime.kernels.conv.mac_clocks" in fitted
    assumed = {path for each in found.undocumented for path in each.uses.get("device", ())}
    assert "memories.flash.bandwidth" in assumed
    assert all("recalled" not in each.reference.title.lower() for each in found.cited)
    assert "recalled" not in found.bibtex().lower()


def test_one_paper_that_two_files_cite_is_one_reference() -> None:
    found = pm.predict("resnet18", "apple_a15").cite()
    papers = [each for each in found.cited if each.reference.key == "he_2016"]
    assert [each.uses for each in papers] == [{"workload": ["structure of resnet18"]}]
    assert papers[0].reference.authors.startswith("Kaiming He")


def test_set_facts_are_no_ones_and_arrays_go_by_their_first_point() -> None:
    import numpy as np

    p = pm.predict("resnet18", "rk3588", set={"memories.main.bandwidth": np.array([1e9, 2e9])})
    found = pm.cite(p)
    assert not any(
        "memories.dram.bandwidth" in uses for each in found.cited for uses in each.uses.values()
    )
    assert "memories.dram.bandwidth" not in found.unsourced


def test_tables_rest_on_all_their_cases() -> None:
    table = pm.sweep("llama_3_2_1b", ["rtx_4090", "apple_m2_max"], {"batch": [1, 2, 4]})
    found = pm.cite(table)
    single = [pm.cite("llama_3_2_1b", d) for d in ("rtx_4090", "apple_m2_max")]
    titles = {r.title for each in single for r in each.references}
    assert {r.title for r in found.references} == titles
    assert "2 kinds of result" in found.subject
    with pytest.raises(InputError, match="no column 'runtime'"):
        pm.cite(Table({"workload": ["a"], "device": ["b"]}))
    with pytest.raises(InputError, match="a workload alone has no references"):
        pm.cite("resnet18")


def entries(text: str) -> list[str]:
    """Read BibTeX with balanced braces; return the keys."""
    depth = 0
    escaped = False
    for letter in text:
        if not escaped:
            depth += (letter == "{") - (letter == "}")
        escaped = letter == "\\" and not escaped
        assert depth >= 0
    assert depth == 0
    return re.findall(r"^@misc\{([A-Za-z0-9_:.-]+),$", text, re.MULTILINE)


@settings(max_examples=draws(50))
@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=20))
def test_any_text_makes_balanced_bibtex(title: str, authors: str, venue: str) -> None:
    reference = Reference("key_1", title, authors, 2020, venue, "https://a.org/{x}_%")
    assert entries(to_bibtex([reference, reference])) == ["key_1", "key_1"]


def test_the_command(run_cli: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    code, out, err = run_cli("cite", "resnet18", "rk3588", "--bibtex")
    assert (code, err) == (0, "")
    assert entries(out)[0] == "perfmodel"
    bib = tmp_path / "refs.bib"
    code, out, _ = run_cli("cite", "resnet18", "rk3588", "-o", str(bib))
    assert (code, out) == (0, "")
    assert entries(bib.read_text())[0] == "perfmodel"
    code, out, err = run_cli("cite", "resnet18x", "rk3588x", "--json", "--bibtex")
    assert (code, out) == (2, "")
    assert err.count("error: ") == 3


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    from perfmodel.cli import main

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(arguments)
        return code, *capsys.readouterr()

    return run


def unsourced(spec: BaseModel, path: str, default: str | None = None) -> Iterator[str]:
    """Paths of the numbers that a spec states and that name no document, nor a default of it."""
    own = getattr(spec, "source", None) or default
    for name in spec.model_fields_set:
        yield from _without(getattr(spec, name), f"{path}.{name}", own)


def _without(value: Any, path: str, default: str | None) -> Iterator[str]:
    if isinstance(value, Quantity):
        if not (value.source or default):
            yield path
    elif isinstance(value, BaseModel):
        yield from unsourced(value, path, default)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _without(item, f"{path}.{key}", default)


@each("name", lambda: runtimes("runtimes"))
def test_every_constant_of_a_runtime_names_its_document(name: str) -> None:
    assert list(unsourced(runtime(name), name)) == []


def test_energy_cites_the_measured_core_but_no_link_between_devices() -> None:
    board = str(pm.predict("resnet18", "raspberry_pi_3b_plus").cite())
    assert "[pi5]" in board
    assert "links." not in str(pm.predict("resnet18", "h100").cite())
