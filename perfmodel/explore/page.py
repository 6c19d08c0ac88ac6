"""The explorer's page: its layout, the callback that updates it, and its server on this host.

Built with Dash; the server listens on the local address only and rejects requests for other hosts.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import socket
from collections.abc import Callable
from html import escape
from importlib.resources import files
from typing import Any

from perfmodel.catalog import need
from perfmodel.charts.result_plots import BUTTONS
from perfmodel.errors import Fault, input_error
from perfmodel.explore.answer import ExplorerAnswer, answer
from perfmodel.explore.choices import LENGTHS, PRECISIONS, Choices, parameters_of, phases_of
from perfmodel.explore.request_body import FILLS, MOST_BYTES, SENDS, SLIDERS, body_faults
from perfmodel.explore.selection import LIMITS, ExplorerSelection
from perfmodel.report.base import verdict
from perfmodel.report.document import look, style
from perfmodel.table.html import cards, items, paragraph

#: Figure -> its caption.
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
        Initial selection.

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
        return _output_values(sent, str(dash.ctx.triggered_id or ""), choices)

    page.callback(fills, sends)(fill)
    _reject_invalid_bodies(page.server, choices)
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


def _reject_invalid_bodies(server: Any, choices: Choices) -> None:
    """Reject invalid requests with status 400 and their faults, before any other processing."""
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


def _output_values(sent: dict[str, Any], changed: str, choices: Choices) -> list[Any]:
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
    """Return a slider's position: that of the default if the workload has changed."""
    if default and default > 0 and (fresh or sent is None):
        return float(round(math.log2(default)))
    return float(sent) if isinstance(sent, int | float) else 0.0


def _html(result: ExplorerAnswer) -> dict[str, str]:
    """Return element of the page -> its HTML."""
    sections = ""
    for device in result.devices:
        words = paragraph(device.sentence), items(device.missing)
        notes = "".join(paragraph(note, "note") for note in device.notes)
        summary = verdict(not device.missing, device.verdict, *words)
        head = f"<h2>{escape(device.device)}</h2>{summary}"
        sections += f"<section>{head}{cards(device.numbers)}{notes}</section>"
    faults = verdict(False, "This cannot be predicted.", items(result.faults))
    return {
        "faults": faults if result.faults else "",
        "sides": sections,
        "reasons": items(result.reasons),
        "command": escape(result.command),
        "python": escape(result.python),
    }


def _layout(dash: Any, start: ExplorerSelection, choices: Choices) -> Any:
    """Return the layout of the page: the form, and the elements of the answer."""
    html, dcc = dash.html, dash.dcc
    form_inputs = _InputForm(html, dcc).form(start, choices)
    return html.Main(
        [
            html.H1("What will it cost?"),
            html.Div([form_inputs, _answer_elements(html, dcc)], className="desk"),
            dcc.Store(id="answer"),
            dcc.Store(id="ground"),
        ]
    )


class _InputForm:
    """The form of inputs, built from Dash components."""

    def __init__(self, html: Any, dcc: Any) -> None:
        self.html, self.dcc = html, dcc

    def form(self, start: ExplorerSelection, choices: Choices) -> Any:
        """Return all inputs, at their initial values."""
        return self.html.Form(
            [
                self.dropdown("workload", "workload", start.workload, list(choices.workloads)),
                self.dropdown("device", "device", start.device, list(choices.devices)),
                self.dropdown(
                    "beside", "compare with", start.second_device or None, list(choices.devices)
                ),
                self.dropdown("phase", "phase", start.phase, []),
                self.dropdown("runtime", "runtime", start.runtime, []),
                self.text(
                    "precision",
                    "precision",
                    "as the device runs it",
                    start.precision,
                    list="precisions",
                ),
                self.html.Datalist(
                    [self.html.Option(value=p) for p in PRECISIONS], id="precisions"
                ),
                self.slider("batch", "batch", 0, 10, 0.0),
                self.slider("length", "length", 4, 17, 11.0),
                self.html.Fieldset(
                    [
                        self.html.Legend("limits"),
                        self.text("limit-latency", "latency at most", "50 ms"),
                        self.text("limit-memory", "memory at most", "8 GiB"),
                        self.text("limit-energy", "energy at most", "1 J"),
                    ]
                ),
                self.text(
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

    def dropdown(self, name: str, label: str, value: str | None, options: Any) -> Any:
        """Return a labelled choice among options."""
        clears = value is None
        return self.html.Div(
            [
                self.html.Label(label, htmlFor=name, id=f"{name}-label-text"),
                self.dcc.Dropdown(
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

    def text(self, name: str, label: str, hint: str, value: str = "", **more: Any) -> Any:
        """Return a labelled text field."""
        return self.html.Div(
            [
                self.html.Label(label, htmlFor=name),
                self.dcc.Input(
                    id=name, type="text", value=value, placeholder=hint, debounce=0.3, **more
                ),
            ]
        )

    def slider(self, name: str, label: str, least: int, most: int, value: float) -> Any:
        """Return a labelled slider over powers of two."""
        return self.html.Div(
            [
                self.html.Span(
                    [
                        self.html.Span(label, id=f"{name}-label"),
                        self.html.Output(id=f"{name}-shown"),
                    ],
                    className="label",
                ),
                self.dcc.Slider(
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


def _answer_elements(html: Any, dcc: Any) -> Any:
    """Return the elements that an answer updates, next to the form."""
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


#: Only users of this machine can reach the page.
HOST = "127.0.0.1"


def serve(application: Any, port: int, ready: Callable[[str], None]) -> None:
    """Serve an application until it is interrupted.

    Parameters
    ----------
    application
        A Dash application.
    port
        0 selects a free port.
    ready
        Called with the address once the server accepts connections.

    Raises
    ------
    InputError
        The port is not available.
    """
    from werkzeug.serving import make_server

    with contextlib.closing(_listening_socket(port)) as listening:
        number = listening.getsockname()[1]
        _reject_foreign_hosts(application.server, number)
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = make_server(HOST, number, application.server, threaded=True, fd=listening.fileno())
        ready(f"http://{HOST}:{number}/")
        try:
            server.serve_forever()
        finally:
            server.server_close()


def _listening_socket(port: int) -> socket.socket:
    """Return a socket that listens at the port; werkzeug itself would exit the process."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(64)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or "a port is a number from 0 to 65535"
        raise input_error(
            f"port {port} cannot be had: {reason.lower()}",
            file="--port",
            expected="a free one, or 0",
        ) from None
    return listener


def _reject_foreign_hosts(server: Any, port: int) -> None:
    """Reject requests for other hosts, so that no foreign site can read from the page."""
    from flask import abort, request

    known = {f"{HOST}:{port}", f"localhost:{port}"}

    def check() -> None:
        if request.host not in known:
            abort(403)

    server.before_request(check)
    # Faults of this package are shown in the page, not as a traceback here.
    server.logger.disabled = not os.environ.get("PERFMODEL_DEBUG")
