"""Registry of named objects: the only module that imports modules by names computed at run time.

Kinds of hardware, kernel constants, memory kinds, charts and reports are entries of `BUILT_IN`, a
static table, so that a plain checkout works; entry points of other packages can add further ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from perfmodel.errors import Fault, InputError, input_error, no_such

#: Entry-point group -> name -> ``module:attribute``.
BUILT_IN: Final[Mapping[str, Mapping[str, str]]] = {
    "perfmodel.kinds": {
        "bit_fusion": "perfmodel.kinds.bit_fusion:KIND",
        "bit_serial": "perfmodel.kinds.bit_serial:KIND",
        "fpga": "perfmodel.kinds.fpga:KIND",
        "hardwired": "perfmodel.kinds.hardwired:KIND",
        "in_memory": "perfmodel.kinds.in_memory:KIND",
        "lookup_table": "perfmodel.kinds.lookup_table.kind:KIND",
        "mcu": "perfmodel.kinds.mcu:KIND",
        "nand": "perfmodel.kinds.nand:KIND",
        "npu": "perfmodel.kinds.npu:KIND",
        "roofline": "perfmodel.kinds.roofline_kernels:KIND",
        "simd": "perfmodel.kinds.simd:KIND",
        "spatial": "perfmodel.kinds.spatial:KIND",
        "systolic": "perfmodel.kinds.systolic:KIND",
        "tensor_core": "perfmodel.kinds.tensor_core:KIND",
    },
    "perfmodel.kernels": {
        "collective": "perfmodel.cost.collectives:CollectiveKernel",
        "fpga": "perfmodel.kinds.fpga.constants:FpgaKernel",
        "lookup_table": "perfmodel.kinds.lookup_table.constants:LookupKernel",
        "mcu": "perfmodel.kinds.mcu.constants:MicrocontrollerKernel",
        "npu": "perfmodel.kinds.npu.constants:NeuralKernel",
        "roofline": "perfmodel.kinds.roofline_kernels:RooflineKernel",
        "simd": "perfmodel.kinds.simd.constants:SimdKernel",
        "tensor_core": "perfmodel.kinds.tensor_core.constants:TensorCoreKernel",
    },
    "perfmodel.memory_kinds": {
        "cache": "perfmodel.kinds.cache:Cache",
        "emmc": "perfmodel.kinds.storage:Storage",
        "nand": "perfmodel.kinds.nand:NandFlash",
        "nvme": "perfmodel.kinds.storage:Storage",
        "sd": "perfmodel.kinds.storage:Storage",
        "ufs": "perfmodel.kinds.storage:Storage",
    },
    "perfmodel.allocation_plots": {
        "memory_map": "perfmodel.charts.memory_map:allocation_map",
    },
    "perfmodel.assignment_plots": {
        "timeline": "perfmodel.charts.activity_lanes:timeline",
    },
    "perfmodel.comparison_plots": {
        "bottlenecks": "perfmodel.charts.bottlenecks:both",
    },
    "perfmodel.curve_plots": {
        "curve": "perfmodel.charts.schedule_curve:curve",
        "tightest": "perfmodel.charts.schedule_memory:tightest",
    },
    "perfmodel.patches_plots": {
        "memory": "perfmodel.charts.patches:patch_memory",
    },
    "perfmodel.pipeline_plots": {
        "timeline": "perfmodel.charts.streams:pipeline_timeline",
    },
    "perfmodel.placement_plots": {
        "levels": "perfmodel.charts.streams:levels",
    },
    "perfmodel.prediction_plots": {
        "area_stack": "perfmodel.charts.area_stack:area_stack",
        "bit_planes": "perfmodel.charts.engine_activity:bit_planes",
        "bottlenecks": "perfmodel.charts.bottlenecks:bottlenecks",
        "cost_over_utilization": "perfmodel.charts.ownership:cost_over_utilization",
        "energy_stack": "perfmodel.charts.energy_stack:energy_stack",
        "flash_and_sram": "perfmodel.charts.flash_and_sram:flash_and_sram",
        "flash_timeline": "perfmodel.charts.engine_activity:flash_timeline",
        "memory": "perfmodel.charts.memory_use:memory",
        "occupancy": "perfmodel.charts.array_occupancy:occupancy",
        "operating_points": "perfmodel.charts.operating_points:operating_points",
        "resources": "perfmodel.charts.fpga_resources:resources",
        "roofline": "perfmodel.charts.roofline:roofline",
        "storage": "perfmodel.charts.storage_bandwidth:storage",
        "temperature": "perfmodel.charts.ownership:temperature_over_time",
    },
    "perfmodel.request_plots": {
        "curves": "perfmodel.charts.sweeps:curves",
        "phases": "perfmodel.charts.bottlenecks:phases",
    },
    "perfmodel.schedule_plots": {
        "compare": "perfmodel.charts.schedule_comparison:compare",
        "demand": "perfmodel.charts.schedule_memory:demand",
        "memory": "perfmodel.charts.schedule_memory:memory",
        "timeline": "perfmodel.charts.schedule_timeline:timeline",
    },
    "perfmodel.search_plots": {
        "front": "perfmodel.charts.search_front:front",
        "layers": "perfmodel.charts.search_layers:layers",
    },
    "perfmodel.served_plots": {
        "curves": "perfmodel.charts.sweeps:curves",
        "parts": "perfmodel.charts.bottlenecks:parts",
    },
    "perfmodel.split_plots": {
        "latency": "perfmodel.charts.split_latency:latency",
    },
    "perfmodel.stream_plots": {
        "timeline": "perfmodel.charts.streams:timeline",
    },
    "perfmodel.table_plots": {
        "curves": "perfmodel.charts.sweeps:curves",
        "heatmap": "perfmodel.charts.sweeps:heatmap",
        "pareto": "perfmodel.charts.sweeps:pareto",
    },
    "perfmodel.validation_plots": {
        "measured": "perfmodel.charts.measured_rows:measured",
    },
    #: Those of each of them.
    "perfmodel.validations_plots": {},
    "perfmodel.reports": {
        "comparison": "perfmodel.report.of_prediction:ComparisonReport",
        "curve": "perfmodel.report.of_schedule:CurveReport",
        "prediction": "perfmodel.report.of_prediction:PredictionReport",
        "result": "perfmodel.report.base:ResultReport",
        "schedule": "perfmodel.report.of_schedule:ScheduleReport",
        "search": "perfmodel.report.of_search:SearchReport",
        "table": "perfmodel.report.of_sweep:SweepReport",
        "validation": "perfmodel.report.of_validation:ValidationReport",
        "validations": "perfmodel.report.of_validation:ValidationReport",
    },
}

#: Optional library -> extra of perfmodel that installs it (empty if there is none).
EXTRAS: Final[Mapping[str, str]] = {
    "onnx": "onnx",
    "torch": "torch",
    "jax": "jax",
    "pymoo": "search",
    "optuna": "search",
    "pandas": "notebook",
    "ipywidgets": "notebook",
    "distributed": "dask",
    "pyarrow": "parquet",
    "dash": "ui",
    "sphinx": "docs",
    "genz_llm": "peers",
    "polars": "",
    "xarray": "",
}


def names(group: str, built_in: Iterable[str] = ()) -> list[str]:
    """Return the sorted names of a group, built-in ones and those of other packages.

    Parameters
    ----------
    group : str
        Entry-point group, such as ``perfmodel.kinds``.
    built_in : iterable of str
        Further built-in names.
    """
    from importlib.metadata import entry_points

    added = {point.name for point in entry_points(group=group)}
    return sorted({*BUILT_IN.get(group, ()), *built_in, *added})


def load(group: str, name: str) -> Any:
    """Return the object of a name in a group.

    Raises
    ------
    InputError
        The name is unknown; the nearest name is suggested.
    """
    from importlib.metadata import entry_points

    target = BUILT_IN.get(group, {}).get(name)
    if target is not None:
        module, _, attribute = target.partition(":")
        return getattr(import_module(module), attribute)
    for point in entry_points(group=group, name=name):
        return point.load()
    raise InputError(no_such(f"{group} has no '{name}'", name, names(group)))


def load_kind(group: str, name: str) -> Any:
    """Load a kind of hardware, which registers its spec class; ``None`` if it is unknown."""
    built_in = name in BUILT_IN.get(group, {})
    return load(group, name) if built_in or name in names(group) else None


def module_of(name: str) -> Any:
    """Import a module of perfmodel whose name is computed."""
    return import_module(name)


def packages(group: str) -> list[Any]:
    """Import the packages named by the entry points of a group, in the order of their names."""
    from importlib.metadata import entry_points

    points = sorted(entry_points(group=group), key=lambda point: point.name)
    # The metadata of an editable installation may outlive its checkout.
    return [p.load() for p in points if find_spec(p.module.partition(".")[0]) is not None]


def not_installed(plugins: str) -> Fault:
    """Return the fault of a question that requires plug-ins that no package provides."""
    return Fault(
        f"no {plugins} are installed",
        expected="pip install perfmodel-studies (in a checkout: pip install ./studies)",
    )


def kinds() -> list[str]:
    """Return the names of the kinds of hardware."""
    return names("perfmodel.kinds")


def is_kind(name: str) -> bool:
    """Return whether a name is a kind of hardware; installed packages are searched last."""
    return name in BUILT_IN["perfmodel.kinds"] or name in kinds()


def plots_of(subject: Any, of: str = "prediction") -> Any:
    """Return the plots of a result, built-in ones or those of another package.

    Parameters
    ----------
    of : str
        Type of result, such as ``prediction`` or ``table``; for other packages the name of an
        entry point of ``perfmodel.plots``, a function of the result.
    """
    if f"perfmodel.{of}_plots" in BUILT_IN:
        return module_of("perfmodel.charts.result_plots").Plots(subject, of)
    return load("perfmodel.plots", of)(subject)


def write_report(of: str, result: Any, path: Any, invocation: Any = None, **options: Any) -> None:
    """Write the report of a result, a generic one if its type has no specific report.

    Parameters
    ----------
    of
        Noun of the result (`perfmodel.table.Result.noun`).
    result, path, invocation, **options
        The same as for `perfmodel.report.base`.
    """
    report = load("perfmodel.reports", of if of in names("perfmodel.reports") else "result")
    import_module("perfmodel.report").write(report(result, **options), path, invocation)


def need(module: str, instead: str = "") -> Any:
    """Import an optional library.

    Parameters
    ----------
    module : str
        Name of the module, possibly a submodule (``pyarrow.parquet``).
    instead : str
        Alternative that works without it, for the error message.

    Raises
    ------
    InputError
        The library is not installed; the message states how to install it.
    """
    try:
        return import_module(module)
    except ImportError:
        library = module.partition(".")[0]
        extra = EXTRAS.get(library, "")
        wanted = f"pip install 'perfmodel[{extra}]'" if extra else f"pip install {library}"
        raise input_error(
            f"{library} is not installed", expected=wanted + (f", or {instead}" if instead else "")
        ) from None


def loaded(module: str) -> bool:
    """Return whether an optional library is installed, without importing it."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
