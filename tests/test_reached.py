"""Every module is reached from a command or a word of ``pm``, or is listed here with the reason."""

import ast
import re
from pathlib import Path

import perfmodel

PACKAGE = Path(perfmodel.__file__).parent
#: Tables whose entries name functions of importers as ``module.function``.
OPERATORS = PACKAGE.parent / "workloads" / "operators"

#: Where walks begin: the words, the commands, and what is loaded by name.
STARTS = (
    "perfmodel",
    "perfmodel.ask",
    "perfmodel.catalog",
    "perfmodel.__main__",
    "perfmodel.testing",
)

#: Prefix of modules that nothing reaches -> why they are here all the same.
EXCEPTIONS = {
    "perfmodel.cost.mapping": "the mapper over memories of each operand, which no kind names yet",
    "perfmodel.cost.traffic.fused_": "traffic of chains of operators, for no command yet",
    "perfmodel.cost.traffic.chain_alignment": "the tiles of such chains",
    "perfmodel.cost.traffic.unfused_operator": "single operators of such chains",
    "perfmodel.cost.traffic.two_level_": "traffic over two levels, for no command yet",
    "perfmodel.cost.traffic.multilevel_": "traffic over several levels, for no command yet",
    "perfmodel.cost.traffic.nested_splits": "the tiles of several levels",
    "perfmodel.cost.traffic.staircase_batch_lookup": "many look-ups, which a benchmark times",
    "perfmodel.search.adapters": "for loops of optuna, pymoo, Ray Tune and PyTorch",
    "perfmodel.search.differentiable": "a search with slopes, which no command asks yet",
}


def modules() -> dict[str, Path]:
    """Every module of the package by name."""
    names = dict[str, Path]()
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        names[".".join(parts).removesuffix(".__init__")] = file
    return names


def imports(file: Path, known: dict[str, Path]) -> set[str]:
    """What a file imports, wherever it does, and the modules that its texts name."""
    named = set[str]()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            named.add(node.value.partition(":")[0])
    return named & known.keys()


def reached(known: dict[str, Path]) -> set[str]:
    """Modules that a walk of imports comes to."""
    seen = set[str]()
    ahead = [*STARTS, *(name for name in known if name.startswith("perfmodel.cli."))]
    # The words of `pm` that are found by the end of their module's name.
    ahead += [f"perfmodel.{home}" for home in set(perfmodel.WORDS.values())]
    for form in ("onnx", "tflite"):
        named = re.findall(r"[:{,] *([\w.]+)\.\w+", (OPERATORS / f"{form}.yaml").read_text())
        rules = (name if "." in name else f"onnx.{name}" for name in set(named))
        ahead += [f"perfmodel.workload.importers.{name}" for name in rules]
    while ahead:
        name = ahead.pop()
        if name in seen or name not in known:
            continue
        seen.add(name)
        ahead += [*imports(known[name], known), name.rpartition(".")[0]]
    return seen


def test_every_module_is_reached_or_listed() -> None:
    known = modules()
    lost = known.keys() - reached(known)
    listed = {name for name in lost if any(name.startswith(prefix) for prefix in EXCEPTIONS)}
    assert lost - listed == set()
    unused = {p for p in EXCEPTIONS if not any(name.startswith(p) for name in lost)}
    assert unused == set(), "listed, and reached"
