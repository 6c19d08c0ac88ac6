"""The page: what stands where, and the one function that fills it."""

from __future__ import annotations

import math
from html import escape
from importlib.resources import files
from typing import Any

from perfmodel.catalog import need
from perfmodel.charts.page import BUTTONS
from perfmodel.errors import Fault
from perfmodel.explore.answer import LIMITS, ExplorerAnswer, ExplorerSelection, answer
from perfmodel.explore.body import FILLS, MOST_BYTES, SENDS, SLIDERS, body_faults
from perfmodel.explore.choices import LENGTHS, PRECISIONS, Choices, parameters_of, phases_of
from perfmodel.report.base import verdict
from perfmodel.report.document import look, style
from perfmodel.table.html import cards, items, paragraph

#: Figure -> what it shows.
FIGURES = {
    "roofline": "Roofline",
    "bottlenecks": "Where the time goes",
    "memory": "Memory",
    "front": "Front over batches and precisions",
    "roofline_beside": "Roofline of the second device",
}


def application(start: ExplorerSelection, choices: Choices) -> Any:
    """Return the Dash application.

    Parameters
    ----------
    start
        What is chosen at first.

    Raises
    ------
    InputError
        Dash is not installed.
    """
    dash = need("dash", "perfmodel predict --report FILE")
    room = files("perfmodel.explore")
    css, js = (room.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    page = dash.Dash(
        "perfmodel",
        serve_locally=True,
        update_title=None,
        title="perfmodel explore",
        assets_folder="",
        include_assets_files=False,
        compress=False,
        index_string=_INDEX.replace("[style]", style() + css).replace("[look]", look() + js),
    )
    page.layout = _layout(dash, start, choices)
    sends = [dash.Input(name, "value") for name in SENDS]
    fills = [dash.Output(*name.rsplit(".", 1)) for name in FILLS]

    def fill(*values: Any) -> list[Any]:
        sent = dict(zip(SENDS, values, strict=True))
        return _filled(sent, str(dash.ctx.triggered_id or ""), choices)

    page.callback(fills, sends)(fill)
    _only_sound_bodies(page.server, choices)
    page.clientside_callback(
        dash.ClientsideFunction("perfmodel", "draw"),
        [dash.Output(name, "figure") for name in FIGURES],
        [dash.Input("answer", "data"), dash.Input("ground", "data")],
    )
    for name in SLIDERS:
        page.clientside_callback(
            dash.ClientsideFunction("perfmodel", "name"),
            dash.Output(f"{name}-shown", "children"),
            [dash.Input(name, "value"), dash.Input(f"{name}-label", "children")],
        )
    return page


def _only_sound_bodies(server: Any, choices: Choices) -> None:
    """Answer what the page cannot have sent with 400 and what is wrong, before anything is done."""
    from flask import Response, request

    def check() -> Any:
        if request.method != "POST":
            return None
        faults = body_faults(request.get_data(), choices)
        if not request.is_json and not faults:
            faults = [Fault("the body is not sent as JSON", expected="application/json")]
        if not faults:
            return None
        return Response("".join(f"{fault}\n" for fault in faults), 400, mimetype="text/plain")

    server.config["MAX_CONTENT_LENGTH"] = MOST_BYTES  # larger ones are answered with 413, unread
    server.before_request(check)


def _filled(sent: dict[str, Any], changed: str, choices: Choices) -> list[Any]:
    """Return the values of all outputs, in their order."""
    texts = {n: str(sent[n] or "") for n in SENDS if n not in SLIDERS}
    workload, device = texts["workload"], texts["device"]
    known_name = workload in choices.workloads
    phases = phases_of(workload) if known_name else ()
    phase = texts["phase"] if texts["phase"] in phases else next(iter(phases), "")
    known = parameters_of(workload, phase) if known_name else {}
    runtimes = choices.runtimes(device) if device in choices.devices else []
    runtime = texts["runtime"] if texts["runtime"] in runtimes else ""
    length = next((n for n in LENGTHS if n in known), "")
    batch = _exponent(sent["batch"], known.get("batch"), changed == "workload")
    exponent = _exponent(sent["length"], known.get(length), changed in ("workload", "phase"))
    selection = ExplorerSelection(
        workload,
        device,
        texts["beside"],
        phase,
        runtime,
        texts["precision"],
        2.0**batch if "batch" in known else None,
        2.0**exponent if length else None,
        texts["settings"],
        {name: texts[f"limit-{name}"] for name in LIMITS},
    )
    result = answer(selection, choices)
    own = [{"label": "the device's own", "value": ""}]
    return [
        {"html": _html(result), "figures": result.figures},
        [{"label": p, "value": p} for p in phases],
        phase,
        own + [{"label": r, "value": r} for r in runtimes],
        runtime,
        batch,
        exponent,
        not phases,
        "batch" not in known,
        not length,
        length or "length",
    ]


def _exponent(sent: Any, default: float | None, fresh: bool) -> float:
    """Return a slider's place: that of the default where the workload has changed."""
    if default and default > 0 and (fresh or sent is None):
        return float(round(math.log2(default)))
    return float(sent) if isinstance(sent, int | float) else 0.0


def _html(result: ExplorerAnswer) -> dict[str, str]:
    """Return element of the page -> what stands in it."""
    sides = ""
    for side in result.sides:
        words = paragraph(side.sentence), items(side.missing)
        notes = "".join(paragraph(note, "note") for note in side.notes)
        head = f"<h2>{escape(side.device)}</h2>{verdict(not side.missing, side.verdict, *words)}"
        sides += f"<section>{head}{cards(side.numbers)}{notes}</section>"
    faults = verdict(False, "This cannot be predicted.", items(result.faults))
    return {
        "faults": faults if result.faults else "",
        "sides": sides,
        "reasons": items(result.reasons),
        "command": escape(result.command),
        "python": escape(result.python),
    }


def _layout(dash: Any, start: ExplorerSelection, choices: Choices) -> Any:
    html, dcc = dash.html, dash.dcc

    def dropdown(name: str, label: str, value: str | None, options: Any) -> Any:
        clears = value is None
        return html.Div(
            [
                html.Label(label, htmlFor=name, id=f"{name}-label-text"),
                dcc.Dropdown(
                    options,
                    value,
                    id=name,
                    clearable=clears,
                    placeholder="nothing",
                    searchable=len(options) > 8,
                    optionHeight="auto",
                ),
            ],
            id=f"knob-{name}",
        )

    def text(name: str, label: str, hint: str, value: str = "", **more: Any) -> Any:
        return html.Div(
            [
                html.Label(label, htmlFor=name),
                dcc.Input(
                    id=name, type="text", value=value, placeholder=hint, debounce=0.3, **more
                ),
            ]
        )

    def slider(name: str, label: str, least: int, most: int, value: float) -> Any:
        return html.Div(
            [
                html.Span(
                    [html.Span(label, id=f"{name}-label"), html.Output(id=f"{name}-shown")],
                    className="label",
                ),
                dcc.Slider(
                    least,
                    most,
                    1,
                    value=value,
                    id=name,
                    marks=None,
                    updatemode="drag",
                    allow_direct_input=False,
                ),
            ],
            id=f"knob-{name}",
            hidden=True,
        )

    knobs = html.Form(
        [
            dropdown("workload", "workload", start.workload, list(choices.workloads)),
            dropdown("device", "device", start.device, list(choices.devices)),
            dropdown("beside", "compare with", start.beside or None, list(choices.devices)),
            dropdown("phase", "phase", start.phase, []),
            dropdown("runtime", "runtime", start.runtime, []),
            text(
                "precision",
                "precision",
                "as the device runs it",
                start.precision,
                list="precisions",
            ),
            html.Datalist([html.Option(value=p) for p in PRECISIONS], id="precisions"),
            slider("batch", "batch", 0, 10, 0.0),
            slider("length", "length", 4, 17, 11.0),
            html.Fieldset(
                [
                    html.Legend("limits"),
                    text("limit-latency", "latency at most", "50 ms"),
                    text("limit-memory", "memory at most", "8 GiB"),
                    text("limit-energy", "energy at most", "1 J"),
                ]
            ),
            text(
                "settings",
                "more settings",
                "memories.main.bandwidth=100 GB/s; height=320",
                start.settings,
            ),
        ],
        className="knobs",
        role="group",
        **{"aria-label": "what to predict"},
    )
    return html.Main(
        [
            html.H1("What will it cost?"),
            html.Div([knobs, _answered(html, dcc)], className="desk"),
            dcc.Store(id="answer"),
            dcc.Store(id="ground"),
        ]
    )


def _answered(html: Any, dcc: Any) -> Any:
    """Return what stands beside the knobs: the places that an answer fills."""
    figures = [
        html.Figure(
            [
                html.Figcaption(words),
                html.Div(
                    dcc.Graph(id=name, config=_CONFIG),
                    id=f"{name}-box",
                    className="plot",
                    role="img",
                    tabIndex="0",
                ),
                html.Details([html.Summary("in words"), html.P(id=f"{name}-words")]),
            ],
            style={"display": "none"},
        )
        for name, words in FIGURES.items()
    ]
    return html.Div(
        [
            html.Div(id="faults", role="alert"),
            html.Div(id="sides", className="sides", role="status"),
            html.Div(id="reasons"),
            html.Details(
                [
                    html.Summary("as command line and Python"),
                    html.Pre(id="command", className="ask", tabIndex="0"),
                    html.Pre(id="python", className="ask", tabIndex="0"),
                ]
            ),
            html.Div(figures, className="figures"),
        ]
    )


_CONFIG = BUTTONS | {"plotlyServerURL": ""}

_INDEX = """<!doctype html>
<html lang="en"><head>{%metas%}<title>{%title%}</title>{%css%}
<meta name="viewport" content="width=device-width,initial-scale=1">
<link rel="icon" href="data:,"><style>[style]</style></head>
<body>{%app_entry%}<footer>{%config%}{%scripts%}<script>[look]</script>{%renderer%}</footer>
</body></html>"""
