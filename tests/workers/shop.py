"""What a person does with the example application, step by step, in Chromium.

`python -m tests.workers.shop BASE_URL DIRECTORY` starts the server itself, kills it in the
middle, and answers what was seen, as JSON. In a process of its own: Playwright's synchronous
interface brings an event loop and pipes that outlive a test.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.report.browser import executable
from tests.report.scenarios import ARGUMENTS, until

from .processes import ROOT, Web, listener, web

EXAMPLE = ROOT / "examples" / "fastapi_app"
STATUSES = "[...document.querySelectorAll('article')].map(card => card.dataset.status)"


class Shop:
    """The server, started again and again on one port with one directory."""

    def __init__(self, base_url: str, directory: Path, stack: ExitStack) -> None:
        self._base_url = base_url
        self._directory = directory
        self._stack = stack
        with listener() as free:
            self._port = free.getsockname()[1]
        self.server = self.start()

    def start(self) -> Web:
        more = {
            "APP_DIR": str(EXAMPLE),
            "DATA_DIR": str(self._directory / "data"),
            "PATIENCE_SECONDS": "2.5",
            "KINOVI_POLL_INTERVAL": "0.1,0.2",
        }
        self.server = self._stack.enter_context(
            web("app:app", self._base_url, more, log=self._directory / "log", port=self._port)
        )
        return self.server

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


def killed_and_started_again(page: Page, shop: Shop) -> dict[str, Any]:
    """Between the submission and the result the server is gone for a moment."""
    order(page, "a lighthouse", shape="16:9")
    order(page, "a tram", "a market")
    until_count(page, "generating", 3)
    shop.server.kill()
    until(page, "!document.querySelector('#away').hidden")
    shop.start()
    until_count(page, "succeeded", 3)
    until(page, "document.querySelector('#away').hidden")
    return {"shapes": shapes(page), "credits": page.locator("#credits").inner_text()}


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


def main(base_url: str, directory: Path) -> dict[str, Any]:
    said: list[str] = []
    with ExitStack() as stack, sync_playwright() as playwright:
        shop = Shop(base_url, directory, stack)
        browser = playwright.chromium.launch(executable_path=executable(), args=list(ARGUMENTS))
        context = browser.new_context()
        page = context.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda line: said.append(line.text))
        page.goto(shop.address)
        found: dict[str, Any] = {
            "killed": killed_and_started_again(page, shop),
            "budget": over_budget(page),
            "closed": closed_page(page, context, shop),
            "looks": looks(browser, shop, directory),
            "said": [text for text in said if "ERR_" not in text and "402" not in text],
        }
        browser.close()
        shop.server.stop()
        found["exit"] = shop.server.process.wait(30)
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], Path(sys.argv[2]))) + "\n")
