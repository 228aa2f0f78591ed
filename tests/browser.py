"""A page of ours in headless Chromium: what it says, asks for and shows.

The driver is Playwright, which needs no browser of its own: it starts the machine's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from playwright import sync_api

__all__ = ["Chromium", "Message", "Opened", "Part", "found", "started"]

VARIABLE = "SPEECHTL_CHROMIUM"
"""The environment variable that names the browser, before any that is found."""

NAMES = ("chromium", "chromium-browser", "google-chrome")


class Message(NamedTuple):
    """A line of the console, which also tells what the page's policy forbade."""

    level: str
    text: str


class Part(NamedTuple):
    """A part of the page as a screen reader is given it."""

    role: str
    name: str


def found() -> str | None:
    """Return the browser's program; None where there is none."""
    return next(filter(None, map(shutil.which, (os.environ.get(VARIABLE, ""), *NAMES))), None)


@dataclass(frozen=True, slots=True)
class Opened:
    """A page that is open.

    Attributes:
        page: Playwright's own page, for what is not here.
        console: What came up in the console, of every level.
        errors: The errors that no script caught.
        requests: The addresses that were asked for.
        dialogs: The messages of alerts and their like; each was dismissed.
    """

    page: sync_api.Page
    console: list[Message] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    @property
    def foreign(self) -> list[str]:
        """Return the addresses that are neither the page itself nor written in it (`data:`)."""
        own = self.page.url.split("#")[0]
        return [
            address
            for address in self.requests
            if address.split("#")[0] != own and not address.startswith("data:")
        ]

    def evaluate(self, script: str, argument: object = None) -> Any:
        """Return what an expression gives, or a function called with the argument.

        The page's policy does not bind it, since it comes from the driver.
        """
        return self.page.evaluate(script, argument)

    def press(self, key: str) -> None:
        """Press and release a key, such as "Tab"."""
        self.page.keyboard.press(key)

    def parts(self) -> list[Part]:
        """Return what a screen reader is given, in order."""
        with contextlib.closing(_Session(self.page)) as session:
            nodes = session.send("Accessibility.getFullAXTree")["nodes"]
        return [
            Part(node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node["ignored"]
        ]

    def screenshot(self, path: Path, *, full_page: bool = True) -> None:
        """Write what is seen as a PNG: the whole page, or what the window shows of it."""
        self.page.screenshot(path=path, full_page=full_page)

    def pdf(self, path: Path) -> None:
        """Write the page as it prints on A4."""
        self.page.pdf(path=path, format="A4", prefer_css_page_size=True)


@dataclass(frozen=True, slots=True)
class Chromium:
    """A browser that runs."""

    browser: sync_api.Browser

    @contextlib.contextmanager
    def opened(
        self,
        path: Path,
        *,
        width: int,
        height: int = 900,
        dark: bool = False,
        printed: bool = False,
    ) -> Iterator[Opened]:
        """Open a file in a window of its own that reaches no network.

        Args:
            path: The HTML file.
            width: The window's width (CSS pixels).
            height: The window's height (CSS pixels).
            dark: Whether its reader prefers dark colours.
            printed: Whether it shows the page as it would print.
        """
        context = self.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            offline=True,
        )
        with contextlib.closing(context):
            page = context.new_page()
            if printed:
                page.emulate_media(media="print")
            opened = Opened(page)
            context.on("console", lambda line: opened.console.append(Message(line.type, line.text)))
            context.on("weberror", lambda error: opened.errors.append(str(error.error)))
            context.on("request", lambda request: opened.requests.append(request.url))
            context.on("dialog", lambda dialog: _dismiss(dialog, opened.dialogs))
            page.goto(path.absolute().as_uri())
            yield opened


@contextlib.contextmanager
def started() -> Iterator[Chromium]:
    """Start the browser that `found` names, and end it afterwards.

    While it runs, this thread can run no event loop of asyncio: the driver has one.
    """
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found(),
            chromium_sandbox=False,  # which root may not have
            args=["--autoplay-policy=no-user-gesture-required"],
        )
        with contextlib.closing(browser):
            yield Chromium(browser)


class _Session:
    """The DevTools protocol of a page, to be closed."""

    def __init__(self, page: sync_api.Page) -> None:
        self._session = page.context.new_cdp_session(page)

    def send(self, method: str) -> Any:
        return self._session.send(method)

    def close(self) -> None:
        self._session.detach()


def _dismiss(dialog: sync_api.Dialog, messages: list[str]) -> None:
    messages.append(dialog.message)
    dialog.dismiss()
