"""What a person does with the example application, step by step, in Chromium.

`python -m tests.workers.shop DIRECTORY` starts the server itself, kills it in the middle, and
answers what was seen, as JSON. In a process of its own: Playwright's synchronous interface
brings an event loop and pipes that outlive a test. The API is a simulator in a thread of this
process, whose tasks end when they are let: nothing here depends on how fast the machine is.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from kinovi_async.testing import InstantSimulator, serving
from tests.report.browser import executable
from tests.report.scenarios import ARGUMENTS, until

from .processes import ROOT, Web, listener, web

EXAMPLE = ROOT / "examples" / "fastapi_app"
STATUSES = "[...document.querySelectorAll('article')].map(card => card.dataset.status)"


POLLS, HARDLY_ANY = "0.1,0.2", "20,30"
"""Seconds between polls: what no webhook tells is found out soon, or not while a test waits."""


class Shop:
    """The server, started again and again on one port with one directory."""

    def __init__(
        self, simulator: InstantSimulator, base_url: str, directory: Path, stack: ExitStack
    ) -> None:
        self.simulator = simulator
        self._base_url = base_url
        self._directory = directory
        self._stack = stack
        with listener() as free:
            self._port = free.getsockname()[1]
        self.server = self.start(HARDLY_ANY)

    def start(self, polls: str) -> Web:
        more = {
            "APP_DIR": str(EXAMPLE),
            "DATA_DIR": str(self._directory / "data"),
            "PATIENCE_SECONDS": "2.5",
            "PUBLIC_URL": f"http://127.0.0.1:{self._port}",
            "KINOVI_POLL_INTERVAL": polls,
        }
        self.server = self._stack.enter_context(
            web("app:app", self._base_url, more, log=self._directory / "log", port=self._port)
        )
        return self.server

    def replace(self, polls: str) -> None:
        """Another one, which answers."""
        self.start(polls).call("GET", "/health")

    @property
    def address(self) -> str:
        return f"{self.server.origin}/"


def order(page: Page, *prompts: str, shape: str = "1:1") -> None:
    for prompt in prompts:
        before = page.locator("article").count()
        page.fill("#prompt", prompt)
        page.locator("#ratios label", has_text=shape).first.click()
        page.click("#wish button")
        until(page, f"document.querySelectorAll('article').length > {before}")


def answer_late(page: Page) -> None:
    """The answer to the next order comes after the page has heard that it is being made."""
    page.evaluate(
        """() => {
            const send = window.fetch;
            const pause = () => new Promise((go) => setTimeout(go, 20));
            window.fetch = async (...order) => {
                window.fetch = send;
                const answer = await send(...order);
                while (!document.querySelector('[data-status=generating]')) await pause();
                setTimeout(() => { window.answered = true; }, 200);
                return answer;
            };
        }"""
    )


def statuses(page: Page) -> list[str]:
    """The newest first."""
    found: list[str] = page.evaluate(STATUSES)
    return found


def until_count(page: Page, status: str, count: int) -> None:
    until(page, f"{STATUSES}.filter(status => status === '{status}').length === {count}")


def shapes(page: Page) -> list[float]:
    """The proportions of the pictures that are shown, once as many as succeeded are."""
    images = "[...document.querySelectorAll('article img')]"
    until(page, f"{images}.filter(image => image.naturalWidth).length === "
                "document.querySelectorAll('[data-status=succeeded]').length")  # fmt: skip
    found: list[float] = page.evaluate(f"{images}.map(i => i.naturalWidth / i.naturalHeight)")
    return found


def told_by_webhooks(page: Page, shop: Shop) -> dict[str, Any]:
    """Killed between submission and callback: the next server hears how the tasks ended.

    Also of a task whose submission had not been answered yet, which nobody else can know of.
    """
    simulator = shop.simulator
    simulator.slow(600, prompt="a comet")
    with simulator.hold():
        answer_late(page)
        order(page, "a lighthouse", shape="16:9")
        until(page, "window.answered")
        until_count(page, "generating", 1)
        order(page, "a comet")
        while len(simulator.books.accepted) < 2:
            page.wait_for_timeout(20)
        shop.server.kill()
        until(page, "!document.querySelector('#away').hidden")
        shop.replace(HARDLY_ANY)
        until_count(page, "ambiguous", 1)
        before = statuses(page)
    until_count(page, "succeeded", 2)
    until(page, "document.querySelector('#away').hidden")
    while sum(simulator.books.webhooks.values()) < 2:
        page.wait_for_timeout(20)
    webhooks = dict(simulator.books.webhooks)
    return {"before": before, "shapes": shapes(page), "webhooks": webhooks}


def told_by_polls(page: Page, shop: Shop) -> dict[str, Any]:
    """The webhook comes while there is no server, and never again."""
    with shop.simulator.hold():
        order(page, "a tram")
        until_count(page, "generating", 1)
        shop.server.kill()
    while not shop.simulator.books.webhooks.get("failed"):
        page.wait_for_timeout(20)
    shop.replace(POLLS)
    until_count(page, "succeeded", 3)
    return {"credits": page.locator("#credits").inner_text()}


def over_budget(page: Page) -> dict[str, Any]:
    """The plan covers a fourth picture and no fifth, until it is a larger plan."""
    order(page, "an owl")
    page.fill("#prompt", "one too many")
    page.click("#wish button")
    until(page, "document.querySelector('#said').textContent")
    said = page.locator("#said").inner_text()
    page.select_option("#plan", "studio")
    until(page, "document.querySelector('#credits').textContent.includes('600')")
    order(page, "one more")
    until_count(page, "succeeded", 5)
    return {"said": said, "credits": page.locator("#credits").inner_text()}


def closed_page(page: Page, context: BrowserContext, shop: Shop) -> dict[str, Any]:
    """One is cancelled by hand; the page is closed; what is queued a while later is not made."""
    with shop.simulator.hold():
        page.evaluate(
            """Promise.all(Array.from({length: 16}, (_, n) => fetch('generations', {
                method: 'POST', headers: {'Content-Type': 'application/json'},
                body: JSON.stringify({prompt: `late ${n}`}),
            })))"""
        )
        until_count(page, "generating", 3)
        page.locator("[data-status=queued] .cancel").first.click()
        until_count(page, "cancelled", 1)
        page.close()
        (token,) = [cookie["value"] for cookie in context.cookies() if cookie["name"] == "customer"]
        shop.server.client.cookies.set("customer", token)
        while any(order["status"] == "queued" for order in shop.server.call("GET", "/generations")):
            pass
    again = context.new_page()
    again.goto(shop.address)
    until(again, "document.querySelectorAll('article').length === 5 + 16")
    until_count(again, "generating", 0)
    found = {"statuses": statuses(again), "shown": len(shapes(again))}
    again.close()
    return found


def looks(browser: Browser, shop: Shop, directory: Path) -> dict[str, Any]:
    """On a phone, in the dark, with a picture in it."""
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme="dark")
    page = context.new_page()
    page.goto(shop.address)
    order(page, "a night market seen from above, lanterns, isometric, soft light", shape="9:16")
    until_count(page, "succeeded", 1)
    shapes(page)
    page.screenshot(path=directory / "phone.png", full_page=True)
    found: dict[str, Any] = page.evaluate(
        """({
            overflow: document.documentElement.scrollWidth - innerWidth,
            ground: getComputedStyle(document.body).backgroundColor,
            strangers: document.querySelectorAll('article').length,
        })"""
    )
    context.close()
    return found


def main(directory: Path) -> dict[str, Any]:
    said: list[str] = []
    simulator = InstantSimulator(limit=3)
    with serving(simulator) as running, ExitStack() as stack, sync_playwright() as playwright:
        shop = Shop(simulator, running.base_url, directory, stack)
        browser = playwright.chromium.launch(executable_path=executable(), args=list(ARGUMENTS))
        context = browser.new_context()
        page = context.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda line: said.append(line.text))
        page.goto(shop.address)
        found: dict[str, Any] = {
            "hooks": told_by_webhooks(page, shop),
            "polls": told_by_polls(page, shop),
            "budget": over_budget(page),
            "closed": closed_page(page, context, shop),
            "looks": looks(browser, shop, directory),
            "said": [text for text in said if "ERR_" not in text and "402" not in text],
        }
        browser.close()
        shop.server.stop()
        found["exit"] = shop.server.process.wait(30)
        books = simulator.books
        found["paid"] = [task.prompt for task in books.accepted]
        found["keys_leaked"] = books.keys_leaked
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))) + "\n")
