"""Helpers that open a page in Chromium without a network and record its console errors and outside requests."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Route, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium: `make browser`")
_OPTIONS = [
    # Chromium has no sandbox when it runs as root, as in CI. The pages are our own.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_OPTIONS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Opened:
    """A page and its problems: console errors, uncaught exceptions, and requests to other machines."""

    page: Page
    problems: list[str] = field(default_factory=list)


@contextmanager
def opened(browser: Browser, url: str, *, width: int = 1400, dark: bool = False) -> Iterator[Opened]:
    """Open `url` in a fresh browser context. Requests to other hosts than the loopback are refused and recorded."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light")
    opened_page = Opened(context.new_page())

    def refuse_request(route: Route, request: Request) -> None:
        opened_page.problems.append(f"request to {request.url}")
        route.abort()

    def record_error(message: ConsoleMessage) -> None:
        if message.type == "error":
            opened_page.problems.append(message.text)

    context.route(lambda address: address.startswith("http") and "//127.0.0.1" not in address, refuse_request)
    opened_page.page.on("console", record_error)
    opened_page.page.on("pageerror", lambda error: opened_page.problems.append(str(error)))
    opened_page.page.goto(url)
    try:
        yield opened_page
    finally:
        context.close()


def printed(url: str, pdf: Path) -> int:
    """Print `url` to a PDF file, as the print dialog of Chromium does. Returns the number of pages."""
    assert CHROMIUM
    # The virtual time of the page runs ahead until its charts are drawn.
    options = [
        *_OPTIONS,
        "--headless",
        "--virtual-time-budget=20000",
        "--no-pdf-header-footer",
        f"--print-to-pdf={pdf}",
    ]
    subprocess.run([CHROMIUM, *options, url], check=True, capture_output=True, timeout=120)
    return len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))
