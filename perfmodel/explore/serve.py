"""Serve the page to this machine alone."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from perfmodel.errors import input_error

#: The page is for whoever sits at this machine.
HOST = "127.0.0.1"


def serve(made: Any, port: int, ready: Callable[[str], None]) -> None:
    """Serve an application until it is interrupted.

    Parameters
    ----------
    made
        A Dash application.
    port
        0 takes a free one.
    ready
        Called with the address once it answers.

    Raises
    ------
    InputError
        The port cannot be had.
    """
    from werkzeug.serving import make_server

    with contextlib.closing(_listening(port)) as listening:
        number = listening.getsockname()[1]
        _only_here(made.server, number)
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = make_server(HOST, number, made.server, threaded=True, fd=listening.fileno())
        ready(f"http://{HOST}:{number}/")
        try:
            server.serve_forever()
        finally:
            server.server_close()


def _listening(port: int) -> socket.socket:
    """Return a socket that listens at the port; werkzeug itself would end the process."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((HOST, port))
        made.listen(64)
    except (OSError, OverflowError) as error:
        made.close()
        reason = getattr(error, "strerror", None) or "a port is a number from 0 to 65535"
        raise input_error(
            f"port {port} cannot be had: {reason.lower()}",
            file="--port",
            expected="a free one, or 0",
        ) from None
    return made


def _only_here(server: Any, port: int) -> None:
    """Answer only those who asked for this host: no other site's page may read from it."""
    from flask import abort, request

    known = {f"{HOST}:{port}", f"localhost:{port}"}

    def check() -> None:
        if request.host not in known:
            abort(403)

    server.before_request(check)
    # A fault of this package is told in the page, not as a trace here.
    server.logger.disabled = not os.environ.get("PERFMODEL_DEBUG")
