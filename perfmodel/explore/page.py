"""The page: what stands where, and the one function that fills it."""

from __future__ import annotations

from typing import Any

from perfmodel.catalog import need
from perfmodel.charts.page import BUTTONS
from perfmodel.errors import Fault
from perfmodel.explore.answer import LIMITS, ExplorerAnswer, ExplorerSelection, answer
from perfmodel.explore.body import FILLS, MOST_BYTES, SENDS, body_faults
from perfmodel.explore.choices import LENGTHS, PRECISIONS, Choices, parameters_of, phases_of
from perfmodel.report.document import look, style

#: Figure -> what it shows.
FIGURES = {
    "roofline": "Roofline",
    "bottlenecks": "Where the time goes",
    "memory": "Memory",
    "front": "Front over batches and precisions",
    "roofline_beside": "Roofline of the second device",
}

_STYLE = """
body{max-width:1900px}
.knobs{display:grid;gap:12px;align-content:start}
.knobs label,.knobs .label{display:block;font-size:13.5px;margin-bottom:3px}
.knobs fieldset{border:1px solid var(--line);border-radius:6px;padding:6px 12px 12px;margin:0;
display:grid;gap:8px;min-width:0}
.knobs output{float:right;color:var(--soft)}
.knobs input[type=range]{width:100%;margin:2px 0}
.desk{display:grid;grid-template-columns:290px minmax(0,1fr);gap:28px;margin-top:14px}
.sides{display:grid;grid-template-columns:repeat(auto-fit,minmax(330px,1fr));gap:18px}
.sides h2{border:0;margin:0;padding:0}.sides .verdict{margin:8px 0}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,620px),1fr));gap:0 20px}
.figures figure{min-width:0}
@media(min-width:901px){.knobs{position:sticky;top:12px;align-self:start;max-height:97vh;
overflow-y:auto;padding:0 4px 8px 2px}}
@media(max-width:900px){.desk{grid-template-columns:minmax(0,1fr)}}
#busy{min-height:1.3em;font-size:13px}
:root{--Dash-Fill-Inverse-Strong:var(--ground);--Dash-Text-Primary:var(--ink);
--Dash-Text-Strong:var(--ink);--Dash-Text-Weak:var(--soft);--Dash-Text-Disabled:var(--soft);
--Dash-Stroke-Strong:var(--soft);--Dash-Stroke-Weak:var(--line);
--Dash-Fill-Interactive-Strong:var(--link);--Dash-Fill-Disabled:var(--line);--Dash-Fill-Weak:var(--box);
--Dash-Fill-Interactive-Weak:var(--box);--Dash-Fill-Primary-Hover:var(--box);
--Dash-Fill-Primary-Active:var(--line);--Dash-Shading-Strong:#0005;--Dash-Shading-Weak:#0002}
"""

#: Draws figures as reports do: in the colours of the ground, as large as the screen allows.
_DRAW = """
function (figures, _) {
  const look = window.perfmodelLook, names = %s;
  const waits = () => window.dash_clientside.no_update;
  return names.map((name) => {
    const box = document.getElementById(name + "-box"), said = (figures || {})[name];
    if (!box) return waits();
    box.parentElement.style.display = said ? "" : "none";
    if (!said) return {data: [], layout: {}};
    const figure = look.dark.matches ? look.repaint(said) : said;
    const alt = said.layout.meta.alt;
    box.setAttribute("aria-label", alt);
    document.getElementById(name + "-words").textContent = alt;
    box.dataset.width = said.layout.width;
    box.dataset.height = said.layout.height;
    const fit = () => box.querySelector(".svg-container") && look.fit(box);
    [60, 300, 900].forEach((ms) => setTimeout(fit, ms));
    return figure;
  });
}
"""

#: What a slider says to those who hear it: its parameter, and the number that it stands for.
_NAME = """
function (exponent, label) {
  const value = String(Math.round(Math.pow(2, exponent || 0)));
  setTimeout(() => document.querySelectorAll("#%s [role=slider]").forEach((thumb) => {
    thumb.setAttribute("aria-label", label);
    thumb.setAttribute("aria-valuetext", value);
  }), 0);
  return value;
}
"""

_WATCH = """
(function () {
  const told = () => {
    const tell = window.dash_clientside && window.dash_clientside.set_props;
    if (tell) tell("ground", {data: window.perfmodelLook.dark.matches});
  };
  window.perfmodelLook.dark.addEventListener("change", told);
  addEventListener("resize", () => document.querySelectorAll(".plot").forEach(
    (box) => box.querySelector(".svg-container") && window.perfmodelLook.fit(box)));
})();
"""


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
    made = dash.Dash(
        "perfmodel", serve_locally=True, update_title=None, title="perfmodel explore",
        assets_folder="", include_assets_files=False, compress=False,
        index_string=_INDEX.replace("[style]", style() + _STYLE).replace("[look]", look() + _WATCH),
    )  # fmt: skip
    made.layout = _layout(dash, start, choices)
    sends = [dash.Input(name, "value") for name in SENDS]
    fills = [dash.Output(*name.rsplit(".", 1)) for name in FILLS]

    def fill(*values: Any) -> list[Any]:
        given = dict(zip(SENDS, values, strict=True))
        return _filled(dash, given, str(dash.ctx.triggered_id or ""), choices)

    made.callback(fills, sends)(fill)
    _only_sound_bodies(made.server, choices)
    made.clientside_callback(
        _DRAW % list(FIGURES), [dash.Output(name, "figure") for name in FIGURES],
        [dash.Input("said", "data"), dash.Input("ground", "data")],
    )  # fmt: skip
    for name in ("batch", "length"):
        made.clientside_callback(
            _NAME % name, dash.Output(f"{name}-shown", "children"),
            [dash.Input(name, "value"), dash.Input(f"{name}-label", "children")],
        )  # fmt: skip
    return made


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


def _filled(dash: Any, given: dict[str, Any], moved: str, choices: Choices) -> list[Any]:
    """Return the values of all outputs, in their order."""
    texts = {n: str(given[n] or "") for n in SENDS if n not in ("batch", "length")}
    workload, device = texts["workload"], texts["device"]
    known_name = workload in choices.workloads
    phases = phases_of(workload) if known_name else ()
    phase = texts["phase"] if texts["phase"] in phases else (phases[0] if phases else "")
    known = parameters_of(workload, phase) if known_name else {}
    runtimes = choices.runtimes(device) if device in choices.devices else []
    runtime = texts["runtime"] if texts["runtime"] in runtimes else ""
    length = next((n for n in LENGTHS if n in known), "")
    fresh = moved in ("", "workload", "phase")
    exponents = {
        "batch": _exponent(given["batch"], known.get("batch"), moved == "workload"),
        "length": _exponent(given["length"], known.get(length), fresh and moved != ""),
    }
    asked = ExplorerSelection(
        workload, device, texts["beside"], phase, runtime, texts["precision"],
        2.0 ** exponents["batch"] if "batch" in known else None,
        2.0 ** exponents["length"] if length else None, texts["settings"],
        {name: texts[f"limit-{name}"] for name in LIMITS},
    )  # fmt: skip
    found = answer(asked, choices)
    return [
        *_shown(dash.html, found), found.figures,
        [{"label": p, "value": p} for p in phases], phase,
        [{"label": "the device's own", "value": ""}, *({"label": r, "value": r} for r in runtimes)],
        runtime, exponents["batch"], exponents["length"],
        not phases, "batch" not in known, not length, length or "length",
    ]  # fmt: skip


def _exponent(given: Any, default: float | None, fresh: bool) -> float:
    """Return a slider's place: that of the default where the workload has changed."""
    import math

    if default and default > 0 and (fresh or given is None):
        return float(round(math.log2(default)))
    return float(given) if isinstance(given, int | float) else 0.0


def _shown(html: Any, found: ExplorerAnswer) -> list[Any]:
    """Return faults, sides, reasons, command, Python."""
    faults: list[Any] = []
    if found.faults:
        lines = html.Ul([html.Li(text) for text in found.faults])
        said = [html.B("This cannot be predicted."), lines]
        faults = [html.Div(said, className="verdict fails")]
    sides: list[Any] = []
    for side in found.sides:
        inner = [html.B(side.verdict), f" {side.sentence}"]
        if side.missing:
            inner.append(html.Ul([html.Li(text) for text in side.missing]))
        cards = [
            html.Div([html.Dt(n), html.Dd([text, *([html.Small(more)] if more else [])])])
            for n, text, more in side.numbers
        ]
        notes = [html.P(note, className="note") for note in side.notes]
        kind = "fails" if side.missing else "fits"
        sides.append(html.Section([
            html.H2(side.device), html.Div(inner, className=f"verdict {kind}"),
            html.Dl(cards, className="cards"), *notes,
        ]))  # fmt: skip
    reasons = [html.Ul([html.Li(r) for r in found.reasons])] if found.reasons else []
    return [faults, sides, reasons, found.command, found.python]


def _layout(dash: Any, start: ExplorerSelection, choices: Choices) -> Any:
    html, dcc = dash.html, dash.dcc

    def dropdown(name: str, label: str, value: str | None, options: Any) -> Any:
        clears = value is None
        return html.Div([
            html.Label(label, htmlFor=name, id=f"{name}-label-text"),
            dcc.Dropdown(options, value, id=name, clearable=clears, placeholder="nothing",
                         searchable=len(options) > 8, optionHeight="auto"),
        ], id=f"knob-{name}")  # fmt: skip

    def text(name: str, label: str, hint: str, value: str = "", **more: Any) -> Any:
        return html.Div([
            html.Label(label, htmlFor=name),
            dcc.Input(id=name, type="text", value=value, placeholder=hint, debounce=0.3, **more),
        ])  # fmt: skip

    def slider(name: str, label: str, least: int, most: int, value: float) -> Any:
        return html.Div([
            html.Span([html.Span(label, id=f"{name}-label"), html.Output(id=f"{name}-shown")],
                      className="label"),
            dcc.Slider(least, most, 1, value=value, id=name, marks=None, updatemode="drag",
                       allow_direct_input=False),
        ], id=f"knob-{name}", hidden=True)  # fmt: skip

    knobs = html.Form([
        dropdown("workload", "workload", start.workload, list(choices.workloads)),
        dropdown("device", "device", start.device, list(choices.devices)),
        dropdown("beside", "compare with", start.beside or None, list(choices.devices)),
        dropdown("phase", "phase", start.phase, []),
        dropdown("runtime", "runtime", start.runtime, []),
        text("precision", "precision", "as the device runs it", start.precision,
             list="precisions"),
        html.Datalist([html.Option(value=p) for p in PRECISIONS], id="precisions"),
        slider("batch", "batch", 0, 10, 0.0),
        slider("length", "length", 4, 17, 11.0),
        html.Fieldset([
            html.Legend("limits"),
            text("limit-latency", "latency at most", "50 ms"),
            text("limit-memory", "memory at most", "8 GiB"),
            text("limit-energy", "energy at most", "1 J"),
        ]),
        text("settings", "more settings", "memories.main.bandwidth=100 GB/s; height=320",
             start.settings),
    ], className="knobs", role="group", **{"aria-label": "what to predict"})  # fmt: skip
    figures = [
        html.Figure([
            html.Figcaption(said),
            html.Div(dcc.Graph(id=name, config=_CONFIG), id=f"{name}-box", className="plot",
                     role="img", tabIndex="0"),
            html.Details([html.Summary("in words"), html.P(id=f"{name}-words")]),
        ], style={"display": "none"})
        for name, said in FIGURES.items()
    ]  # fmt: skip
    answered = html.Div([
        html.Div(id="faults", role="alert"),
        html.Div(id="sides", className="sides", role="status"),
        html.Div(id="reasons"),
        html.Details([
            html.Summary("as command line and Python"),
            html.Pre(id="command", className="ask", tabIndex="0"),
            html.Pre(id="python", className="ask", tabIndex="0"),
        ]),
        html.Div(figures, className="figures"),
    ])  # fmt: skip
    return html.Main([
        html.H1("What will it cost?"),
        html.Div([knobs, answered], className="desk"),
        dcc.Store(id="said"), dcc.Store(id="ground"),
    ])  # fmt: skip


_CONFIG = BUTTONS | {"plotlyServerURL": ""}

_INDEX = """<!doctype html>
<html lang="en"><head>{%metas%}<title>{%title%}</title>{%css%}
<meta name="viewport" content="width=device-width,initial-scale=1">
<link rel="icon" href="data:,"><style>[style]</style></head>
<body>{%app_entry%}<footer>{%config%}{%scripts%}<script>[look]</script>{%renderer%}</footer>
</body></html>"""
