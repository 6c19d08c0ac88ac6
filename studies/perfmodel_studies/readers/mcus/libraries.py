"""Which runtime a submission to MLPerf Tiny ran: read off its version, submitter and framework."""

from __future__ import annotations

from typing import Final

from perfmodel_studies.words import has_words

__all__ = ["UNSEEN", "library_of"]

#: A library of which no row was seen.
UNSEEN: Final = "mcu_library"

_ST: Final = (
    ("v8.1.0", "x_cube_ai_8_1"),
    ("v9.0", "x_cube_ai_9"),
    ("v10.2", "x_cube_ai_9"),
)


def library_of(
    version: str,
    submitter: str,
    system: str,
    framework: str,
    *,
    accelerator: str = "",
    processor: str = "",
) -> str:
    """Return the runtime of the library, `UNSEEN` for one that no open row shows.

    Parameters
    ----------
    version
        Round of the benchmark (``v1.1``); tells libraries whose version a submission leaves out.
    submitter, system, framework, accelerator, processor
        As the system description writes them.
    """
    who, where, what = submitter.lower(), system.lower(), framework.lower()
    if has_words(where, "x-cube-ai-7.3") or has_words(where, "x-cube-ai-8.0"):
        return "x_cube_ai_7_3"
    if who == "stmicroelectronics":
        if has_words(accelerator, "co-processor"):
            return "st_edge_ai_hsp"
        if version == "v0.7":
            return "x_cube_ai_7_0"
        if version == "v1.0":
            return "x_cube_ai_7_3"
        names = [name for mark, name in _ST if has_words(what, f"x-cube-ai {mark}")]
        return names[0] if names else "x_cube_ai_9"
    if who == "plumerai" or has_words(what, "plumerai"):
        return "plumerai_2022" if version in ("v0.7", "v1.0") else "plumerai_2023"
    if who == "bosch" or has_words(what, "hale"):
        if "max_performance" in where:
            return "bosch_hale_1_0_175_fast"
        return "bosch_hale_1_0_175" if has_words(what, "1.0.175") else "bosch_hale_1_0"
    if what == "onnc" or who == "skymizer":
        return "onnc_andes" if has_words(where, "andes") else "onnc"
    if has_words(what, "microtvm") or has_words(where, "microtvm"):
        return "microtvm_cmsis_nn" if has_words(where, "cmsis") else "microtvm"
    if who == "renesas":
        return "cmsis_nn_helium" if has_words(processor, "m85") else "renesas_translator"
    if who == "silicon_labs":
        return "tflm_silabs_mvp_0_7" if version == "v0.7" else "tflm_silabs_mvp"
    if who.startswith("greenwaves"):
        return "gap_flow_ne16"
    if has_words(what, "csi-nn2"):
        return "csi_nn2"
    if who == "syntiant":
        return "syntiant"
    if who == "andes":
        return "tflm_andes"
    return UNSEEN
