"""Lines of text, rendered with blur and noise, as inputs of rapidocr's recogniser; their reading.

Words come from the descriptions of Python packages; fonts are the DejaVu of this
machine where there are some, and the one inside Pillow. All is drawn from one seed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.real_tasks.networks import Array

HEIGHT, LEAST_WIDTH = 48, 320
#: All come with perfmodel and its development extra, so others that are installed change nothing.
PACKAGES = (
    "numpy",
    "scipy",
    "pydantic",
    "networkx",
    "plotly",
    "PuLP",
    "highspy",
    "PyYAML",
    "cyclopts",
    "rich",
    "onnx",
    "onnxruntime",
    "hypothesis",
    "pytest",
    "ruff",
)
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9.,:;()%+=/'&-]{0,13}")


@dataclass(frozen=True)
class Line:
    """What was written, and its image as the network reads it, (1, 3, 48, width) float32."""

    text: str
    image: Array


def words() -> list[str]:
    """Return words of the descriptions of `PACKAGES`, in their order."""
    found: dict[str, None] = {}
    for package in PACKAGES:
        for word in (distribution(package).read_text("METADATA") or "").split():
            if _WORD.fullmatch(word):
                found.setdefault(word, None)
    return list(found)


def fonts() -> list[Path | None]:
    """Return DejaVu fonts of this machine, and None for the one inside Pillow."""
    places = (Path("/usr/share/fonts"), Path.home() / ".fonts", Path("/Library/Fonts"))
    names = ("Sans", "SansMono", "Serif", "SansCondensed-Oblique", "Serif-Italic", "Sans-Bold")
    found = {p.stem: p for place in places if place.is_dir() for p in place.rglob("DejaVu*.ttf")}
    return [found[f"DejaVu{n}"] for n in names if f"DejaVu{n}" in found] + [None]


def lines(count: int, seed: int) -> list[Line]:
    """Return rendered lines of 8 to 24 characters."""
    draw = np.random.default_rng(seed)
    vocabulary, faces = words(), fonts()
    made: list[Line] = []
    while len(made) < count:
        text = " ".join(draw.choice(vocabulary, int(draw.integers(1, 5))))
        if 8 <= len(text) <= 24:
            made.append(Line(text, _normalised(_render(text, faces, draw))))
    return made


def _render(text: str, faces: Sequence[Path | None], draw: np.random.Generator) -> Array:
    """Return grey values, (height, width): dark on light, blurred, then with noise."""
    from PIL import Image, ImageDraw, ImageFilter, ImageFont

    face, size = faces[int(draw.integers(len(faces)))], int(draw.integers(14, 33))
    font: Any = ImageFont.truetype(str(face), size) if face else ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(text)
    margin = int(draw.integers(1, 6))
    paper, ink = int(draw.integers(170, 256)), int(draw.integers(0, 110))
    shape = (math.ceil(right - left) + 2 * margin, math.ceil(bottom - top) + 2 * margin)
    image = Image.new("L", shape, paper)
    ImageDraw.Draw(image).text((margin - left, margin - top), text, fill=ink, font=font)
    image = image.rotate(float(draw.normal(0, 0.6)), Image.Resampling.BILINEAR, fillcolor=paper)
    image = image.filter(ImageFilter.GaussianBlur(float(draw.uniform(0, 0.045) * size)))
    noisy = np.asarray(image, float) + draw.normal(0, draw.uniform(2, 28), shape[::-1])
    return np.clip(noisy, 0, 255).astype(np.uint8)


def _normalised(grey: Array) -> Array:
    """Return an image of height 48 scaled to -1 ... 1, filled with 0 to the least width."""
    from PIL import Image

    width = math.ceil(HEIGHT * grey.shape[1] / grey.shape[0])
    resized = Image.fromarray(grey).resize((width, HEIGHT), Image.Resampling.BILINEAR)
    made = np.zeros((1, 3, HEIGHT, max(LEAST_WIDTH, width)), np.float32)
    made[..., :width] = np.asarray(resized, np.float32) / 127.5 - 1
    return made


def characters(model: Any) -> list[str]:
    """Return the network's alphabet: the blank, the list inside the file, the space."""
    stored = {entry.key: entry.value for entry in model.metadata_props}
    return ["", *stored["character"].splitlines(), " "]


def best_path(probabilities: Array) -> Array:
    """Return the classes on the best path of (steps, classes), less repetitions and blanks (0).

    Graves et al., "Connectionist Temporal Classification", 2006, section 3.2.
    """
    best = probabilities.argmax(1)
    return best[(np.diff(best, prepend=-1) != 0) & (best > 0)]


def decode(probabilities: Array, alphabet: Sequence[str]) -> str:
    """Return the best path of (steps, classes) as text."""
    return "".join(alphabet[i] for i in best_path(probabilities))


def edits(a: Iterable[object], b: Sequence[object]) -> int:
    """Return the least number of insertions, deletions and substitutions between two sequences."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]
