"""The page as a person sees it: opened in a real browser, looked at as a picture."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, Tab, visit
from PIL import Image
from samples import full_page, hostile_page

from limbeck.report.page import Page, Unfinished, write_report

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="needs Chromium: apt-get install chromium")]

BROKEN_IMAGES = "[...document.images].filter(i => !(i.complete && i.naturalWidth > 0)).length"
OVERHANG = "document.documentElement.scrollWidth - innerWidth"
DIFFERENT_WIDTHS = (
    "new Set([...document.querySelectorAll('.answers li')].map(l => getComputedStyle(l).backgroundSize)).size"
)
HALF_FULL = (
    "[...document.querySelectorAll('.answers.student li')]"
    ".find(l => Math.abs(parseFloat(l.style.getPropertyValue('--p')) - 60) < 15)"
)


def brightness(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("L"), dtype=float)


async def check_quiet(tab: Tab, page: Path) -> None:
    assert not tab.events("Log.entryAdded")
    assert not tab.events("Runtime.consoleAPICalled")
    assert not tab.events("Runtime.exceptionThrown")
    addresses = {event["request"]["url"].split(",")[0] for event in tab.events("Network.requestWillBeSent")}
    assert addresses <= {page.as_uri(), "data:image/jpeg;base64", "data:"}


def opened(tmp_path: Path, page: Page, act) -> None:
    path = write_report(tmp_path, page)

    async def checked(tab: Tab) -> None:
        await act(tab)
        await check_quiet(tab, path)

    visit(path, tmp_path / "profile", checked)


@pytest.mark.parametrize("width", [390, 1440])
def test_the_picture_in_light_and_dark(tmp_path: Path, width: int) -> None:
    async def act(tab: Tab) -> None:
        assert await tab.evaluate("document.images.length") == 6
        assert await tab.evaluate(BROKEN_IMAGES) == 0
        for scheme, light in (("light", True), ("dark", False)):
            await tab.look(width, scheme)
            assert await tab.evaluate(OVERHANG) <= 0
            whole = brightness(await tab.picture("html"))
            paper = np.median(whole)
            assert paper > 230 if light else paper < 40
            assert whole[-1, 0] > 230 if light else whole[-1, 0] < 40
            for panel in (1, 2, 3, 4):
                curve = brightness(await tab.picture(f".curve:nth-of-type({panel}) svg"))
                inked = np.abs(curve - np.median(curve)) > 40
                assert 0.002 < inked.mean() < 0.5, "blank or full"
                assert inked.any(axis=0).mean() > 0.8, "the line does not cross the panel"
            photo = np.asarray(await tab.picture(".photo img"), dtype=float)
            assert photo.std(axis=(0, 1)).min() > 10

    opened(tmp_path, full_page(), act)


def test_paper_is_white_in_the_dark_too(tmp_path: Path) -> None:
    async def act(tab: Tab) -> None:
        await tab.look(800, "dark", media="print")
        assert np.median(brightness(await tab.picture("html"))) > 230

    opened(tmp_path, full_page(), act)


def test_the_bars_are_drawn(tmp_path: Path) -> None:
    async def act(tab: Tab) -> None:
        await tab.look(1440, "light")
        assert await tab.evaluate(DIFFERENT_WIDTHS) > 4
        await tab.evaluate(f"{HALF_FULL}.id = 'half'")
        bar = brightness(await tab.picture("#half"))
        middle = bar.shape[0] // 2
        assert bar[middle, 3] < bar[middle, -3], "a bar starts at the left and ends before the right"

    opened(tmp_path, full_page(), act)


def test_hostile_names_stay_text_and_within_the_page(tmp_path: Path) -> None:
    async def act(tab: Tab) -> None:
        await tab.look(390, "light")
        assert await tab.evaluate("document.title.includes('<script>')")
        assert await tab.evaluate("document.images.length") == 1
        assert await tab.evaluate("document.scripts.length") == 0
        assert await tab.evaluate(OVERHANG) <= 0

    opened(tmp_path, hostile_page(), act)


@pytest.mark.parametrize("width", [390, 1440])
def test_where_an_unfinished_run_stands_is_seen(tmp_path: Path, width: int) -> None:
    resume = "limbeck distill --out " + "a-folder-with-a-long-name/" * 6 + " --resume"
    unfinished = Unfinished(done=60, steps=600, resume=resume, written="2026-01-01 12:00")

    async def act(tab: Tab) -> None:
        for scheme in ("light", "dark"):
            await tab.look(width, scheme)
            assert await tab.evaluate(OVERHANG) <= 0
            bar = brightness(await tab.picture(".unfinished progress"))
            row = bar[bar.shape[0] // 2]
            done = np.abs(row - row[-10]) > 40
            assert 0.05 < done.mean() < 0.15, "a tenth of it is done"
            assert done[: len(row) // 20].mean() > 0.8

    opened(tmp_path, dataclasses.replace(full_page(), unfinished=unfinished), act)
