"""A real browser on a page, without a network: what it draws, what its console says, how it looks at a width."""

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
    # As root, as CI is, Chromium has no sandbox; the pages are our own.
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
    """A page, with what went wrong on it: errors on its console, exceptions, and requests that left this machine."""

    page: Page
    problems: list[str] = field(default_factory=list)


@contextmanager
def opened(browser: Browser, url: str, *, width: int = 1400, dark: bool = False) -> Iterator[Opened]:
    """`url` in a fresh context; requests to other hosts than the loopback are refused and noted."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light")
    shown = Opened(context.new_page())

    def refuse(route: Route, request: Request) -> None:
        shown.problems.append(f"request to {request.url}")
        route.abort()

    def record_error(message: ConsoleMessage) -> None:
        if message.type == "error":
            shown.problems.append(message.text)

    context.route(lambda address: address.startswith("http") and "//127.0.0.1" not in address, refuse)
    shown.page.on("console", record_error)
    shown.page.on("pageerror", lambda error: shown.problems.append(str(error)))
    shown.page.goto(url)
    try:
        yield shown
    finally:
        context.close()


def printed(url: str, pdf: Path) -> int:
    """`url` on paper, as `chromium --print-to-pdf` and a person's print dialog make it; the number of its pages."""
    assert CHROMIUM
    # Time inside the page runs ahead until its charts are drawn.
    options = [
        *_OPTIONS,
        "--headless",
        "--virtual-time-budget=20000",
        "--no-pdf-header-footer",
        f"--print-to-pdf={pdf}",
    ]
    subprocess.run([CHROMIUM, *options, url], check=True, capture_output=True, timeout=120)
    return len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))
