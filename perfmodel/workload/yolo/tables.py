"""The detectors, a row a layer, at depth and width 1 (see `rows.parse`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: Backbone and neck of YOLOv5 6.x (github.com/ultralytics/yolov5, release 6.1).
_V5 = (
    "conv 64 k=6 s=2 p=2", "conv 128 k=3 s=2", "c3 128 x3 add", "conv 256 k=3 s=2",
    "c3 256 x6 add", "conv 512 k=3 s=2", "c3 512 x9 add", "conv 1024 k=3 s=2", "c3 1024 x3 add",
    "sppf 1024",
    "conv 512", "up", "cat @-1,6", "c3 512 x3", "conv 256", "up", "cat @-1,4", "c3 256 x3",
    "conv 256 k=3 s=2", "cat @-1,14", "c3 512 x3", "conv 512 k=3 s=2", "cat @-1,10", "c3 1024 x3",
)  # fmt: skip

#: Four scales for images of 1280 pixels (yolov5-p6).
_V5_P6 = (
    "conv 64 k=6 s=2 p=2", "conv 128 k=3 s=2", "c3 128 x3 add", "conv 256 k=3 s=2",
    "c3 256 x6 add", "conv 512 k=3 s=2", "c3 512 x9 add", "conv 768 k=3 s=2", "c3 768 x3 add",
    "conv 1024 k=3 s=2", "c3 1024 x3 add", "sppf 1024",
    "conv 768", "up", "cat @-1,8", "c3 768 x3", "conv 512", "up", "cat @-1,6", "c3 512 x3",
    "conv 256", "up", "cat @-1,4", "c3 256 x3", "conv 256 k=3 s=2", "cat @-1,20", "c3 512 x3",
    "conv 512 k=3 s=2", "cat @-1,16", "c3 768 x3", "conv 768 k=3 s=2", "cat @-1,12", "c3 1024 x3",
)  # fmt: skip

#: YOLOv5 3.x: a focus instead of the first stride, the first CSP block.
_V5_R3 = (
    "focus 64", "conv 128 k=3 s=2", "csp 128 x3 add", "conv 256 k=3 s=2", "csp 256 x9 add",
    "conv 512 k=3 s=2", "csp 512 x9 add", "conv 1024 k=3 s=2", "spp 1024", "csp 1024 x3",
    "conv 512", "up", "cat @-1,6", "csp 512 x3", "conv 256", "up", "cat @-1,4", "csp 256 x3",
    "conv 256 k=3 s=2", "cat @-1,14", "csp 512 x3", "conv 512 k=3 s=2", "cat @-1,10",
    "csp 1024 x3",
)  # fmt: skip

_V8 = (
    "conv 64 k=3 s=2", "conv 128 k=3 s=2", "c2f 128 x3 add", "conv 256 k=3 s=2", "c2f 256 x6 add",
    "conv 512 k=3 s=2", "c2f 512 x6 add", "conv 1024 k=3 s=2", "c2f 1024 x3 add", "sppf 1024",
    "up", "cat @-1,6", "c2f 512 x3", "up", "cat @-1,4", "c2f 256 x3",
    "conv 256 k=3 s=2", "cat @-1,12", "c2f 512 x3", "conv 512 k=3 s=2", "cat @-1,9", "c2f 1024 x3",
)  # fmt: skip


def _v10(*blocks: str) -> tuple[str, ...]:
    """Return YOLOv10 with the given blocks at rows 6, 8, 13, 19 and 22."""
    p4, p5, up4, down4, down5 = blocks
    return (
        "conv 64 k=3 s=2", "conv 128 k=3 s=2", "c2f 128 x3 add", "conv 256 k=3 s=2",
        "c2f 256 x6 add", "sc_down 512", p4, "sc_down 1024", p5, "sppf 1024", "psa 1024",
        "up", "cat @-1,6", up4, "up", "cat @-1,4", "c2f 256 x3",
        "conv 256 k=3 s=2", "cat @-1,13", down4, "sc_down 512", "cat @-1,10", down5,
    )  # fmt: skip


def _v11(shallow: str) -> tuple[str, ...]:
    """Return YOLO11; the outer blocks of its smaller sizes hold plain bottlenecks."""
    return (
        "conv 64 k=3 s=2", "conv 128 k=3 s=2", f"c3k2 256 x2 e=0.25{shallow}", "conv 256 k=3 s=2",
        f"c3k2 512 x2 e=0.25{shallow}", "conv 512 k=3 s=2", "c3k2 512 x2 c3k", "conv 1024 k=3 s=2",
        "c3k2 1024 x2 c3k", "sppf 1024", "psa 1024 x2",
        "up", "cat @-1,6", f"c3k2 512 x2{shallow}", "up", "cat @-1,4", f"c3k2 256 x2{shallow}",
        "conv 256 k=3 s=2", "cat @-1,13", f"c3k2 512 x2{shallow}", "conv 512 k=3 s=2",
        "cat @-1,10", "c3k2 1024 x2 c3k",
    )  # fmt: skip


_V9C = (
    "conv 64 k=3 s=2", "conv 128 k=3 s=2", "rep_elan 256 outer=128 inner=64", "adown 256",
    "rep_elan 512 outer=256 inner=128", "adown 512", "rep_elan 512 outer=512 inner=256",
    "adown 512", "rep_elan 512 outer=512 inner=256", "sppf 512 inner=256",
    "up", "cat @-1,6", "rep_elan 512 outer=512 inner=256", "up", "cat @-1,4",
    "rep_elan 256 outer=256 inner=128", "adown 256", "cat @-1,12",
    "rep_elan 512 outer=512 inner=256", "adown 512", "cat @-1,9",
    "rep_elan 512 outer=512 inner=256",
)  # fmt: skip

#: Redmon and Farhadi 2018; leaky ReLU.
_V3 = (
    "conv 32 k=3", "conv 64 k=3 s=2", "bottleneck 64", "conv 128 k=3 s=2", "bottleneck 128 x2",
    "conv 256 k=3 s=2", "bottleneck 256 x8", "conv 512 k=3 s=2", "bottleneck 512 x8",
    "conv 1024 k=3 s=2", "bottleneck 1024 x4",
    "bottleneck 1024 x2 no_add", "conv 512", "conv 1024 k=3",
    "conv 256 @12", "up", "cat @-1,8", "bottleneck 512 x2 no_add", "conv 256", "conv 512 k=3",
    "conv 128 @18", "up", "cat @-1,6", "bottleneck 256 x3 no_add",
)  # fmt: skip

_V3_TINY = (
    "conv 16 k=3", "pool", "conv 32 k=3", "pool", "conv 64 k=3", "pool", "conv 128 k=3", "pool",
    "conv 256 k=3", "pool", "conv 512 k=3", "pool k=2 s=1", "conv 1024 k=3", "conv 256",
    "conv 512 k=3", "conv 128 @13", "up", "cat @-1,8", "conv 256 k=3",
)  # fmt: skip

_ELAN = "elan {} inner={}"
_NECK = "elan {0} entry={0} inner={1} every=1"


def _v7() -> tuple[str, ...]:
    return (
        "conv 32 k=3", "conv 64 k=3 s=2", "conv 64 k=3", "conv 128 k=3 s=2",
        _ELAN.format(256, 64), "mp 128", _ELAN.format(512, 128), "mp 256", _ELAN.format(1024, 256),
        "mp 512", _ELAN.format(1024, 256), "sppcspc 512",
        "conv 256", "up", "conv 256 @8", "cat @-1,-2", _NECK.format(256, 128),
        "conv 128", "up", "conv 128 @6", "cat @-1,-2", _NECK.format(128, 64),
        "mp 128 @-1,16", _NECK.format(256, 128), "mp 256 @-1,11", _NECK.format(512, 256),
        "conv 256 k=3 @21", "conv 512 k=3 @23", "conv 1024 k=3 @25",
    )  # fmt: skip


_T = "elan {} inner={} chain=2 every=1"
#: Leaky ReLU.
_V7_TINY = (
    "conv 32 k=3 s=2", "conv 64 k=3 s=2", _T.format(64, 32), "pool", _T.format(128, 64), "pool",
    _T.format(256, 128), "pool", _T.format(512, 256),
    "conv 256", "conv 256 @8", "pyramid @-2", "conv 256", "cat @-1,10", "conv 256",
    "conv 128", "up", "conv 128 @6", "cat @-1,-2", _T.format(128, 64),
    "conv 64", "up", "conv 64 @4", "cat @-1,-2", _T.format(64, 32),
    "conv 128 k=3 s=2", "cat @-1,19", _T.format(128, 64),
    "conv 256 k=3 s=2", "cat @-1,14", _T.format(256, 128),
    "conv 128 k=3 @24", "conv 256 k=3 @27", "conv 512 k=3 @30",
)  # fmt: skip


def _v4() -> tuple[str, ...]:
    """Return YOLOv4 (Bochkovskiy et al. 2020): CSPDarknet-53, a pyramid, a path aggregation."""
    five = "conv {0} leaky @{2}|conv {1} k=3 leaky|conv {0} leaky|conv {1} k=3 leaky|conv {0} leaky"

    def column(c: int, source: int) -> list[str]:
        return five.format(c, 2 * c, source).split("|")

    return (
        "conv 32 k=3", "conv 64 k=3 s=2", "csp53 64 x1 first", "conv 128 k=3 s=2", "csp53 128 x2",
        "conv 256 k=3 s=2", "csp53 256 x8", "conv 512 k=3 s=2", "csp53 512 x8",
        "conv 1024 k=3 s=2", "csp53 1024 x4",
        "conv 512 leaky", "conv 1024 k=3 leaky", "conv 512 leaky", "pyramid", "conv 512 leaky",
        "conv 1024 k=3 leaky", "conv 512 leaky",
        "conv 256 leaky", "up", "conv 256 leaky @8", "cat @-1,-2", *column(256, -1),
        "conv 128 leaky", "up", "conv 128 leaky @6", "cat @-1,-2", *column(128, -1),
        "conv 256 k=3 leaky", "conv 256 k=3 s=2 leaky @-2", "cat @-1,26", *column(256, -1),
        "conv 512 k=3 leaky", "conv 512 k=3 s=2 leaky @-2", "cat @-1,17", *column(512, -1),
        "conv 1024 k=3 leaky",
    )  # fmt: skip


_V4_TINY = (
    "conv 32 k=3 s=2", "conv 64 k=3 s=2", "conv 64 k=3", "csp_tiny 64", "pool", "conv 128 k=3",
    "csp_tiny 128", "pool", "conv 256 k=3", "csp_tiny 256", "pool", "conv 512 k=3", "conv 256",
    "conv 512 k=3", "conv 128 @12", "up", "side @9", "cat @-2,-1", "conv 256 k=3",
)  # fmt: skip

#: Ge et al. 2021: the CSPDarknet of YOLOv5 4.x and its neck.
_X = (
    "focus 64", "conv 128 k=3 s=2", "c3 128 x3 add", "conv 256 k=3 s=2", "c3 256 x9 add",
    "conv 512 k=3 s=2", "c3 512 x9 add", "conv 1024 k=3 s=2", "spp 1024", "c3 1024 x3",
    "conv 512", "up", "cat @-1,6", "c3 512 x3", "conv 256", "up", "cat @-1,4", "c3 256 x3",
    "conv 256 k=3 s=2", "cat @-1,14", "c3 512 x3", "conv 512 k=3 s=2", "cat @-1,10", "c3 1024 x3",
)  # fmt: skip


def _dw(rows: tuple[str, ...]) -> tuple[str, ...]:
    """Return the rows with depthwise-separable convolutions for the strided ones (YOLOX-Nano)."""
    return tuple(
        row.replace("conv", "separable").replace("c3 ", "c3_dw ") if " s=2" in row or "c3 " in row
        else row
        for row in rows
    )  # fmt: skip


#: Li et al. 2022: EfficientRep and Rep-PAN of the small sizes, deployed; ReLU.
_V6 = (
    "conv 64 k=3 s=2", "conv 128 k=3 s=2", "conv 128 x6 k=3", "conv 256 k=3 s=2",
    "conv 256 x12 k=3", "conv 512 k=3 s=2", "conv 512 x18 k=3", "conv 1024 k=3 s=2",
    "conv 1024 x6 k=3", "sppf 1024",
    "conv 256", "deconv 256", "cat @-1,6", "conv 256 x12 k=3",
    "conv 128", "deconv 128", "cat @-1,4", "conv 128 x12 k=3",
    "conv 128 k=3 s=2", "cat @-1,14", "conv 256 x12 k=3",
    "conv 256 k=3 s=2", "cat @-1,10", "conv 512 x12 k=3",
)  # fmt: skip

#: Name -> rows, and the rows whose outputs the head reads.
TABLES: Final[Mapping[str, tuple[tuple[str, ...], tuple[int, ...]]]] = {
    "yolov3": (_V3, (23, 19, 13)),
    "yolov3_tiny": (_V3_TINY, (18, 14)),
    "yolov4": (_v4(), (32, 40, 48)),
    "yolov4_tiny": (_V4_TINY, (18, 13)),
    "yolov5": (_V5, (17, 20, 23)),
    "yolov5_p6": (_V5_P6, (23, 26, 29, 32)),
    "yolov5_r3": (_V5_R3, (17, 20, 23)),
    "yolov6": (_V6, (17, 20, 23)),
    "yolov7": (_v7(), (26, 27, 28)),
    "yolov7_tiny": (_V7_TINY, (31, 32, 33)),
    "yolov8": (_V8, (15, 18, 21)),
    "yolov9c": (_V9C, (15, 18, 21)),
    "yolov10n": (_v10("c2f 512 x6 add", "c2f 1024 x3 add", "c2f 512 x3", "c2f 512 x3",
                      "c2f_cib 1024 x3 lk"), (16, 19, 22)),
    "yolov10s": (_v10("c2f 512 x6 add", "c2f_cib 1024 x3 lk", "c2f 512 x3", "c2f 512 x3",
                      "c2f_cib 1024 x3 lk"), (16, 19, 22)),
    "yolov10m": (_v10("c2f 512 x6 add", "c2f_cib 1024 x3", "c2f 512 x3", "c2f_cib 512 x3",
                      "c2f_cib 1024 x3"), (16, 19, 22)),
    "yolov10b": (_v10("c2f 512 x6 add", "c2f_cib 1024 x3", "c2f_cib 512 x3", "c2f_cib 512 x3",
                      "c2f_cib 1024 x3"), (16, 19, 22)),
    "yolov10x": (_v10("c2f_cib 512 x6", "c2f_cib 1024 x3", "c2f_cib 512 x3", "c2f_cib 512 x3",
                      "c2f_cib 1024 x3"), (16, 19, 22)),
    "yolo11": (_v11(""), (16, 19, 22)),
    "yolo11_large": (_v11(" c3k"), (16, 19, 22)),
    "yolox": (_X, (17, 20, 23)),
    "yolox_nano": (_dw(_X), (17, 20, 23)),
}  # fmt: skip
