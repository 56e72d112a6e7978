"""Headless Chromium, driven as a user would, through its debugging pipe: nothing but the library.

Without Chromium page tests are skipped, loudly; where the environment variable CI is set, a missing
Chromium is a failure.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
)
READ_FROM, WRITE_TO = 3, 4  # where Chromium reads commands and writes answers
PATIENCE = 30.0  # seconds for one answer
KEYS = {
    "Tab": (9, None),
    "Enter": (13, "\r"),
    " ": (32, " "),
    "ArrowLeft": (37, None),
    "ArrowUp": (38, None),
    "ArrowRight": (39, None),
    "ArrowDown": (40, None),
    "Backspace": (8, None),
}


def chromium() -> str:
    """The program; without it the test is skipped, and fails where CI is set."""
    found = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if found is None:
        message = "Chromium is not installed: the calculator page is NOT tested"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


class BrowserError(Exception):
    """Chromium refused a command, or the page threw while a script was run in it."""


@dataclass
class Connection:
    """Commands as JSON, each ended by a zero byte; answers and events the same way."""

    to_browser: int
    from_browser: int
    waiting: bytes = b""
    last: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; events that come in between are kept."""
        self.last += 1
        message: dict[str, Any] = {"id": self.last, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        content = json.dumps(message).encode() + b"\0"
        while content:
            content = content[os.write(self.to_browser, content) :]
        while True:
            answer = self.receive(method)
            if answer.get("id") != self.last:
                self.events.append(answer)
            elif "error" in answer:
                msg = f"{method}: {answer['error']['message']}"
                raise BrowserError(msg)
            else:
                return answer["result"]

    def receive(self, doing: str) -> dict[str, Any]:
        """The next answer or event."""
        until = time.monotonic() + PATIENCE
        while b"\0" not in self.waiting:
            readable, *_ = select.select([self.from_browser], [], [], until - time.monotonic())
            content = os.read(self.from_browser, 1 << 20) if readable else b""
            if not content:
                msg = f"{doing}: no answer of Chromium"
                raise BrowserError(msg)
            self.waiting += content
        first, self.waiting = self.waiting.split(b"\0", 1)
        return json.loads(first)


@dataclass
class Page:
    """One tab."""

    connection: Connection
    session: str

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self.connection.call(method, self.session, **params)

    def open(self, path: Path) -> None:
        """Open a file and wait until it has loaded and computed."""
        self.call("Page.navigate", url=path.resolve().as_uri())
        until = time.monotonic() + PATIENCE
        while self.run("location.protocol + document.readyState") != "file:complete":
            if time.monotonic() > until:
                msg = f"{path.name} does not finish loading"
                raise BrowserError(msg)
            time.sleep(0.01)

    def run(self, script: str) -> Any:
        """The value of an expression in the page, awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(details.get("exception", details).get("description", str(details)))
        return answer["result"].get("value")

    def text(self, selector: str = "body") -> str:
        """What a reader sees of an element."""
        return self.run(f"document.querySelector({json.dumps(selector)}).innerText")

    def focus(self, selector: str) -> None:
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")

    def type(self, text: str) -> None:
        """Type a text, key by key, into what has the focus."""
        for letter in text:
            self.call("Input.dispatchKeyEvent", type="char", text=letter)

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press and release a key that is no letter."""
        code, letter = KEYS[key]
        described = {"key": key, "code": "Space" if key == " " else key, "modifiers": 8 * shift}
        written = {"text": letter} if letter else {}
        for kind in ("keyDown" if letter else "rawKeyDown", "keyUp"):
            pressed = {} if kind == "keyUp" else written
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                windowsVirtualKeyCode=code,
                **described,
                **pressed,
            )

    def click(self, selector: str) -> None:
        """Click with the mouse on the middle of an element."""
        place = self.run(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)});"
            " one.scrollIntoView({block: 'center'}); const box = one.getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        where = {"x": place[0], "y": place[1], "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **where)

    def width(self, pixels: int, height: int = 800) -> None:
        """Give the window a width, as of a telephone."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=pixels,
            height=height,
            deviceScaleFactor=1,
            mobile=pixels < 600,
        )

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Save what is seen as PNG, the part below the window as well."""
        image = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(image["data"]))

    def pdf(self) -> bytes:
        """The page as it is printed."""
        printed = self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=False)
        return base64.b64decode(printed["data"])

    def named_elements(self) -> list[tuple[str, str]]:
        """Role and accessible name of everything that a screen reader meets."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node.get("ignored") and "role" in node
        ]

    def heard(self, *methods: str) -> list[dict[str, Any]]:
        """Parameters of the events of these kinds so far."""
        self.run("0")  # what was on its way has arrived
        return [
            event["params"]
            for event in self.connection.events
            if event.get("sessionId") == self.session and event.get("method") in methods
        ]


@contextmanager
def browser() -> Iterator[Connection]:
    """A Chromium of its own, closed at the end."""
    program = chromium()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        (ours_in, theirs_out), (theirs_in, ours_out) = os.pipe(), os.pipe()
        # above 4, or moving one end would close the other
        ends = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 20) for one in (theirs_in, theirs_out)]
        silent = os.open(os.devnull, os.O_RDWR)
        moves = [(ends[0], READ_FROM), (ends[1], WRITE_TO), (silent, 1), (silent, 2)]
        process = os.posix_spawn(
            program,
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            os.environ | {"HOME": profile},
            file_actions=[(os.POSIX_SPAWN_DUP2, *move) for move in moves],
            setpgroup=0,
        )
        for one in (theirs_in, theirs_out, silent, *ends):
            os.close(one)
        connection = Connection(ours_out, ours_in)
        try:
            yield connection
        finally:
            _close(connection, process)


def _close(connection: Connection, process: int) -> None:
    try:
        connection.call("Browser.close")
    except (BrowserError, OSError):
        os.killpg(process, signal.SIGKILL)
    finally:
        os.close(connection.to_browser)
        os.close(connection.from_browser)
        os.waitpid(process, 0)


def new_page(connection: Connection) -> Page:
    """An empty tab that records what it asks of the network and says on its console."""
    target = connection.call("Target.createTarget", url="about:blank")["targetId"]
    attached = connection.call("Target.attachToTarget", targetId=target, flatten=True)
    page = Page(connection, attached["sessionId"])
    for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
        page.call(f"{domain}.enable")
    page.width(1280)
    return page
