"""Pages in a real browser: Debian's Chromium, driven by Playwright. Nothing is downloaded.

The tests that use these fixtures are skipped, with the reason, where Playwright or Chromium is absent.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

NAMES = ("chromium", "chromium-browser", "google-chrome")
"""Programs that are tried, in this order, unless PEERDISTILL_CHROMIUM names one."""

# No page can reach another machine, whatever it asks for: tests see the request and its failure.
_NO_NETWORK = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"


class RecordedPage:
    """An open page with everything that it complained about and asked for.

    Attributes:
        page: The page, a ``playwright.sync_api.Page``.
        errors: Errors on the console, uncaught exceptions included.
        requests: Addresses of all requests, workers included; ``blob:`` and ``data:`` addresses are part of the page.
    """

    def __init__(self, page: "Page") -> None:
        self.page = page
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("console", self._read_console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.context.on("request", self._read_request)

    def foreign_requests(self, own: str) -> list[str]:
        """Return the requests to anything but addresses that start with ``own``, such as the page's folder."""
        return [address for address in self.requests if not address.startswith((own, "blob:", "data:"))]

    def _read_console(self, message: "ConsoleMessage") -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _read_request(self, request: "Request") -> None:
        self.requests.append(request.url)


OpenPage = Callable[..., RecordedPage]
ServeFolder = Callable[[Path], str]


def chromium() -> str:
    """Return the Chromium of this machine, or skip the test."""
    named = os.environ.get("PEERDISTILL_CHROMIUM")
    found = next(filter(None, map(shutil.which, [named] if named else NAMES)), None)
    if found is None:
        pytest.skip(f"no {named or 'Chromium'} on this machine (Debian: apt-get install chromium)")
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Start a Chromium without a window.

    One for each test file: while Playwright runs, no other code of its process can start an asyncio loop.
    """
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (pip install playwright)")
    program = chromium()
    with api.sync_playwright() as playwright:
        # Chromium's sandbox refuses to run as root.
        sandbox = not hasattr(os, "geteuid") or os.geteuid() != 0
        browser = playwright.chromium.launch(executable_path=program, chromium_sandbox=sandbox, args=[_NO_NETWORK])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: "Browser") -> Iterator[OpenPage]:
    """Return a function that opens an address or a file in a fresh profile, see :class:`RecordedPage`."""
    with ExitStack() as opened:

        def open_(
            where: str | Path,
            *,
            width: int = 1280,
            height: int = 800,
            scheme: Literal["light", "dark"] = "light",
            touch: bool = False,
        ) -> RecordedPage:
            size = {"width": width, "height": height}
            context = browser.new_context(viewport=size, color_scheme=scheme, has_touch=touch)
            opened.callback(context.close)
            recorded = RecordedPage(context.new_page())
            recorded.page.goto(where.resolve().as_uri() if isinstance(where, Path) else where)
            return recorded

        yield open_


class _QuietHandler(SimpleHTTPRequestHandler):
    """What ``python -m http.server`` uses, without a line for each request."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the files of a folder on 127.0.0.1, and give the address of the folder, which ends with "/"."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_QuietHandler, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture
def serve_folder() -> Iterator[ServeFolder]:
    """Return a function that serves a folder during the test, see :func:`served`."""
    with ExitStack() as servers:
        yield lambda folder: servers.enter_context(served(folder))
