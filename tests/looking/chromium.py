"""A headless Chromium, driven over its DevTools protocol; nothing that it asks for leaves here."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 60.0


def program() -> str | None:
    """Return the browser's program; ``CHROMIUM`` names another one."""
    named = os.environ.get("CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """A browser with a profile of its own; `tab` opens pages in it."""

    def __init__(self, path: str, profile: Path) -> None:
        import websocket

        flags = [
            "--headless",
            "--disable-gpu",
            "--remote-debugging-port=0",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-default-apps",
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
            "--disable-dev-shm-usage",
            # Whatever a page asks for elsewhere finds no host.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--remote-allow-origins=*",
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            flags.append("--no-sandbox")  # its sandbox needs another user
        self._process = subprocess.Popen(
            [path, *flags, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._count = 0
        self._tabs: dict[str, Tab] = {}
        try:
            port, endpoint = self._address(profile / "DevToolsActivePort")
            self._socket = websocket.create_connection(
                f"ws://127.0.0.1:{port}{endpoint}", timeout=SECONDS
            )
        except BaseException:
            self._end()
            raise

    def _address(self, file: Path) -> tuple[str, str]:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise OSError(f"the browser ended with {self._process.returncode}")
            lines = file.read_text().split() if file.exists() else []
            if len(lines) == 2:
                return lines[0], lines[1]
            time.sleep(0.02)
        raise OSError("the browser names no port")

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; events on the way go to their tabs."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            tab = self._tabs.get(answer.get("sessionId", ""))
            if tab is not None and "method" in answer:
                tab.happened(answer["method"], answer["params"])

    def tab(self, **how: Any) -> Tab:
        """Open an empty page; see `Tab`."""
        made = self.call("Target.createTarget", url="about:blank")
        target = made["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = self._tabs[session] = Tab(self, session, target)
        tab.prepare(**how)
        return tab

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """End the browser."""
        try:
            self._socket.close()
        finally:
            self._end()


class Tab:
    """A page: what it says on its console, what it asks for, what it shows.

    Attributes
    ----------
    errors
        Errors and warnings of its console, and what its scripts threw.
    requests
        Addresses that it asked for; parts of the page itself (``data:``, ``blob:``) left out.
    """

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self._browser, self._session, self._target = browser, session, target
        self.errors: list[str] = []
        self.requests: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of this page."""
        return self._browser.call(method, self._session, **parameters)

    def prepare(
        self,
        *,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        offline: bool = False,
        scripts: bool = True,
    ) -> None:
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.size(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        if offline:
            self.call(
                "Network.emulateNetworkConditions",
                offline=True,
                latency=0,
                downloadThroughput=-1,
                uploadThroughput=-1,
            )
        if not scripts:
            self.call("Emulation.setScriptExecutionDisabled", value=True)

    def size(self, width: int, height: int) -> None:
        """Make the window as large as that; a narrow one is a phone's."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def happened(self, method: str, event: dict[str, Any]) -> None:
        """Note an event."""
        if method == "Runtime.consoleAPICalled" and event["type"] in ("error", "warning", "assert"):
            self.errors.append(" ".join(str(a.get("value", a)) for a in event["args"]))
        elif method == "Runtime.exceptionThrown":
            found = event["exceptionDetails"]
            self.errors.append(found.get("exception", {}).get("description") or found["text"])
        elif method == "Log.entryAdded" and event["entry"]["level"] in ("error", "warning"):
            self.errors.append(f"{event['entry']['text']} {event['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            address = event["request"]["url"]
            if not address.startswith(("data:", "blob:", "about:")):
                self.requests.append(address)

    def goto(self, address: str) -> None:
        """Open an address and wait until it has loaded."""
        self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script: str) -> Any:
        """Return the value of an expression."""
        found = self.call(
            "Runtime.evaluate",
            expression=script,
            returnByValue=True,
            awaitPromise=True,
            userGesture=True,
        )
        if "exceptionDetails" in found:
            raise AssertionError(found["exceptionDetails"])
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true."""
        until = time.monotonic() + SECONDS
        while not self.run(condition):
            if time.monotonic() > until:
                raise AssertionError(f"never true: {condition}; {self.errors}")
            time.sleep(0.02)

    def text(self) -> str:
        """Return what the page shows as text."""
        tree = self.call("DOM.getDocument", depth=0)
        body = self.call("DOM.querySelector", nodeId=tree["root"]["nodeId"], selector="body")
        html: str = self.call("DOM.getOuterHTML", nodeId=body["nodeId"])["outerHTML"]
        return html

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write a PNG of what is seen, or of the whole page."""
        clip: dict[str, Any] = {}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"clip": {**size, "scale": 1}, "captureBeyondViewport": True}
        data = self.call("Page.captureScreenshot", format="png", **clip)["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        """Close the page."""
        self._browser.call("Target.closeTarget", targetId=self._target)
