"""What a person does with the report, step by step, in Chromium; see `browser.py`.

`python -m tests.report.scenarios` takes `{name: [page, options]}` and answers what was
seen, as JSON.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.report.browser import executable

ARGUMENTS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
)
SEEN = "document.querySelectorAll('{}').length"


def until(page: Page, expression: str) -> None:
    """Waits for an expression; the page's policy forbids Playwright's own way, an eval."""
    for _ in range(400):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {expression}")


def gallery(page: Page, **_: Any) -> dict[str, Any]:
    """Pictures load, films play, the viewer obeys keys."""
    page.locator("#grid").scroll_into_view_if_needed()
    picture = page.locator("#grid img").first
    picture.scroll_into_view_if_needed()
    until(page, "[...document.querySelectorAll('#grid img')].some(i => i.naturalWidth)")
    film = page.locator(".card", has=page.locator("video")).first
    page.evaluate("window.scrollTo(0, document.querySelector('#grid').offsetTop)")
    film.locator(".open").click()
    player = page.locator("#stage video")
    player.wait_for()
    until(page, "document.querySelector('#stage video').currentTime > 0.2")
    film_name = page.locator("#facts h2").inner_text()
    facts = page.locator("#facts").inner_text()
    page.keyboard.press("Escape")
    until(page, "!document.querySelector('#viewer').open")
    focused = page.evaluate(
        "document.activeElement.closest('.card')?.querySelector('.name').textContent"
    )
    page.keyboard.press("ArrowRight")
    next_one = page.evaluate(
        "document.activeElement.closest('.card').querySelector('.name').textContent"
    )
    page.keyboard.press("Enter")
    opened = page.locator("#facts h2").inner_text()
    page.keyboard.press("ArrowLeft")
    back = page.locator("#facts h2").inner_text()
    page.keyboard.press("Escape")
    until(page, "!document.querySelector('#stage > *')")
    return {
        "film": film_name, "facts": facts, "focused": focused, "next": next_one,
        "opened": opened, "back": back, "playing": page.evaluate(SEEN.format("#stage video")),
        "loading": page.evaluate("[...document.querySelectorAll('#grid img')].map(i => i.loading)"),
    }  # fmt: skip


def filters(page: Page, **_: Any) -> dict[str, Any]:
    """The counts after each filter and search."""

    def found() -> str:
        return page.locator("#found").inner_text()

    def search(words: str) -> str:
        before = json.dumps(found())
        page.fill("#search", words)
        until(page, f"document.querySelector('#found').innerText !== {before}")
        return found()

    def names() -> list[str]:
        return page.locator("#grid .name").all_inner_texts()

    page.evaluate("window.scrollTo(0, document.querySelector('#pictures').offsetTop)")
    told: dict[str, Any] = {"all": found()}
    told["spent"] = page.locator(".figures dd").nth(2).inner_text().split()[0]
    page.select_option("#status", "failed")
    told["failed"] = found()
    page.select_option("#status", "")
    page.select_option("#model", label="midjourney-v8 (1)")
    told["model"], told["model names"] = found(), names()
    page.select_option("#model", "")
    page.select_option("#tag", label="client: Acme (2)")
    told["tag"] = found()
    page.select_option("#tag", "")
    told["search"], told["search names"] = search("FILM sea"), names()
    told["nothing"] = search("nothing is like this")
    told["said"] = page.locator("#grid").inner_text()
    search("")
    page.locator("[data-show-reason]").first.click()
    told["reason"], told["reason names"] = found(), names()
    page.click("#reason-off")
    page.select_option("#order", "cost")
    told["again"], told["dearest"] = found(), names()[0]
    told["places"] = page.evaluate(
        "[...document.querySelectorAll('.card')].map(c => [c.ariaPosInSet, c.ariaSetSize])"
    )
    page.emulate_media(media="print", color_scheme="dark")
    told["printed"] = page.evaluate(
        "[getComputedStyle(document.querySelector('.card')).position,"
        " getComputedStyle(document.body).backgroundColor]"
    )
    return told


def stars(page: Page, *, folder: str, **_: Any) -> dict[str, Any]:
    """One of a set of four, by its star and by a key; saved, kept, loaded again."""
    page.locator("#grid").scroll_into_view_if_needed()
    page.locator(".card", has_text="four").locator(".cell").nth(2).hover()
    page.get_by_label("Pick four, 3 of 4").click()
    page.get_by_label("Open film").click()
    page.keyboard.press("s")
    pressed = page.locator("#facts [data-pick]").get_attribute("aria-pressed")
    page.keyboard.press("Escape")
    with page.expect_download() as download:
        page.click("#save-picks")
    saved = Path(folder) / "picks.json"
    download.value.save_as(saved)
    page.reload()
    page.locator("#only-picks").check()
    kept = page.locator("#grid .name").all_inner_texts()
    page.click("#clear-picks")
    cleared = page.locator("#pick-count").inner_text()
    page.set_input_files("#picks-file", saved)
    until(page, "document.querySelector('#found').textContent.includes('loaded')")
    loaded = page.locator("#pick-count").inner_text()
    by_hand = Path(folder) / "by-hand.json"
    by_hand.write_text(json.dumps(["four", "media/film.mp4", "bad", 7, None, "nothing"]))
    page.click("#clear-picks")
    page.set_input_files("#picks-file", by_hand)
    until(page, "document.querySelector('#found').textContent.includes('loaded')")
    told = page.locator("#found").inner_text()
    both = page.locator("#pick-count").inner_text()
    wrong = Path(folder) / "wrong.json"
    wrong.write_text("[7")
    page.set_input_files("#picks-file", wrong)
    until(page, "document.querySelector('#found').textContent.includes('no picks.json')")
    return {
        "name": download.value.suggested_filename, "pressed": pressed, "kept": kept,
        "cleared": cleared, "loaded": loaded, "by hand": [told, both],
    }  # fmt: skip


def hostile(page: Page, **_: Any) -> dict[str, Any]:
    """Every card and every viewer of a page of hostile texts."""
    page.locator("#grid").scroll_into_view_if_needed()
    page.locator("#grid .open").first.click()
    titles = []
    while True:
        titles.append(page.locator("#facts .prompt").text_content() or "")
        if page.locator("#next").is_disabled():
            break
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    until(page, "document.querySelectorAll('.card').length > 3")
    return {
        "hacked": page.evaluate("window.hacked ?? null"),
        "scripts": page.evaluate(SEEN.format("script")),
        "strange": page.evaluate(SEEN.format("[onerror], #grid a, iframe, object, embed, base")),
        "prompts": titles,
    }


def many(page: Page, **_: Any) -> dict[str, Any]:
    """A page of thousands: what is in the document at its top, in the middle, at the end."""
    size = "[document.querySelectorAll('*').length, document.querySelectorAll('img').length]"
    sizes = [page.evaluate(size)]
    for share in (0.1, 0.5, 0.9):
        page.evaluate(f"window.scrollTo(0, document.body.scrollHeight * {share})")
        until(page, "document.querySelectorAll('.card').length > 3")
        sizes.append(page.evaluate(size))
    until(page, "[...document.querySelectorAll('#grid img')].some(i => i.naturalWidth)")
    page.fill("#search", "picture 4242:")
    until(page, "document.querySelectorAll('.card').length === 1")
    names = page.locator("#grid .name").all_inner_texts()
    page.fill("#search", "")
    until(page, "document.querySelectorAll('.card').length !== 1")
    page.locator("#timeline").scroll_into_view_if_needed()
    page.locator("#scroller").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    told = page.locator("#bar-told").inner_text()
    page.click("#zoom-in")
    page.keyboard.press("Tab")
    wide = page.evaluate("[scroller.scrollWidth > scroller.clientWidth, canvas.width < 4000]")
    page.locator("#scroller").focus()
    page.keyboard.press("Enter")
    opened = page.locator("#facts h2").inner_text()
    return {"sizes": sizes, "names": names, "told": told, "wide": wide, "opened": opened}


def narrow(page: Page, **_: Any) -> dict[str, Any]:
    """A phone in the dark: nothing is wider than the window, colours change."""
    page.set_viewport_size({"width": 360, "height": 740})
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#grid").scroll_into_view_if_needed()
    page.locator("#grid .open").first.click()
    inside = page.evaluate(
        "[...document.querySelectorAll('#viewer button')].every(b => {"
        "const r = b.getBoundingClientRect(); return r.left >= 0 && r.right <= 360 && r.width; })"
    )
    page.keyboard.press("Escape")
    return {
        "light": light, "dark": dark, "inside": inside,
        "width": page.evaluate("document.documentElement.scrollWidth"),
        "contrasts": [contrasts(page, scheme) for scheme in ("light", "dark")],
    }  # fmt: skip


CONTRAST = """() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = numbers(color).slice(0, 3).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (numbers(color)[3] !== 0) return color;
    }
    return "rgb(255, 255, 255)";
  };
  let worst = [21, ""];
  const seen = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (seen.nextNode()) {
    const element = seen.currentNode.parentElement;
    if (!seen.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    if (element.closest("script, option, [disabled], dialog:not([open])")) continue;
    const pair = [light(getComputedStyle(element).color), light(ground(element))].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (ratio < worst[0]) worst = [ratio, `${element.className}: ${seen.currentNode.textContent.slice(0, 40)}`];
  }
  return worst;
}"""


def contrasts(page: Page, scheme: str) -> list[Any]:
    """The worst contrast of a text with its ground, and whose it is."""
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    worst: list[Any] = page.evaluate(CONTRAST)
    return worst


SCENARIOS: dict[str, Callable[..., dict[str, Any]]] = {
    each.__name__: each for each in (gallery, filters, stars, hostile, many, narrow)
}


def play(browser: Browser, name: str, path: str, options: dict[str, Any]) -> dict[str, Any]:
    """What one scenario saw, with all requests and complaints; or `error`."""
    requests: list[str] = []
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        page.goto(Path(path).resolve().as_uri())
        seen = SCENARIOS[name](page, **options)
    except Exception:  # noqa: BLE001 - the test tells it
        seen = {"error": traceback.format_exc()}
    context.close()
    schemes = sorted({url.partition(":")[0] for url in requests})
    return {**seen, "schemes": schemes, "complaints": complaints}


def main() -> None:
    """Plays the scenarios named on standard input and prints what they saw."""
    plan = json.load(sys.stdin)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=list(ARGUMENTS))
        seen = {name: play(browser, name, *each) for name, each in plan.items()}
        browser.close()
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    main()
