"""The sections of the golden net: what each holds, and how closely."""

from __future__ import annotations

from tests.golden import (
    commands,
    graphs,
    mappings,
    measured,
    model_files,
    operator_tables,
    oracles,
    plans,
    predictions,
    runtimes,
    schedules,
    searches,
    serving,
    specs,
    tile_traffic,
)
from tests.golden.figures import MEASURED, REFITTED, Section

#: A calibration is a least-squares fit: its constants depend on the arithmetic of BLAS.
FITTED = {"calibrate/*": REFITTED, "command/calibrate/*": REFITTED}

#: Claims that rest on a fit of a few constants, and on an evolution whose comparisons of nearly
#: equal candidates turn on the last bits of a product of matrices.
CLAIMED = {
    "claim/coreml/*": REFITTED,
    "claim/high_frequency_cores/*": REFITTED,
    "claim/apq/*": 0.02,
    "claim/apq/*/error": 0.3,
}

#: Rows of llama.cpp do not determine the kernels of T-MAC, and the fit that leaves a chip out ends
#: on a flat valley: which point of it depends on the last bits.
FLAT = {
    "refit/tmac_llm_decode/latency_s, llama.cpp/*": 0.02,
    "refit/tmac_llm_decode/latency_s, llama.cpp/constants/T-MAC/*": 1.0,
}

SECTIONS = {
    section.name: section
    for section in (
        Section("predictions_images", predictions.images),
        Section("predictions_sequences", predictions.sequences),
        Section("predictions_language", predictions.language),
        Section("predictions_small", predictions.small),
        Section("runtimes", runtimes.figures),
        Section("operator_tables", operator_tables.figures),
        Section("graphs", graphs.figures),
        Section("model_files", model_files.figures),
        Section("specs", specs.figures),
        Section("schedules", schedules.figures),
        Section("plans", plans.figures),
        # `make test` holds oracles to `predict`, and predictions to the net.
        Section("oracles", oracles.figures, exhaustive=True),
        Section("searches", searches.figures),
        Section("tile_traffic", tile_traffic.figures),
        Section("mappings", mappings.figures),
        Section("serving", serving.figures, looser=FITTED),
        Section("commands", commands.figures, looser=FITTED),
        # `make test` holds claims of every sort to what was published.
        Section("claims", measured.claims, looser=CLAIMED, exhaustive=True),
        Section("validations", measured.validations, MEASURED, measured=True),
        Section("refits", measured.refits, REFITTED, FLAT, measured=True),
    )
}
