"""The page of a comparison in a browser: no errors, no requests, everything visible."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from g2d.experiment import compare
from g2d.recipe import Recipe

SMALL = [
    "encoders.image={name: cnn, widths: [4, 4], pool: 1}",
    "encoders.tone={name: mlp, widths: [8]}",
    "data.eval_draws=1",
]
STAGED = {"g2d": "method.tau=[1,0]", "g2d_released": "method.tau=[1,0]"}
METHODS = (
    "joint",
    "mses",
    "mslr",
    "agm",
    "pmr",
    "ogm_ge",
    "mla",
    "mmpareto",
    "reconboost",
    "dlmg",
    "umt",
    "ume",
    "g2d",
)
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


def skip_without(program: str) -> None:
    """Skip the test because a program is missing; fail if the environment has CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{program} must be installed in CI")
    pytest.skip(f"{program} is missing: the page is not opened in a browser")


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run thirteen methods under two seeds for one epoch each; return the page."""
    recipes = []
    for name in METHODS:
        length = [STAGED[name]] if name in STAGED else [] if name == "ume" else ["epochs=1"]
        recipes.append(
            Recipe.load("digits", [f"method={name}", *SMALL, *length, "teachers.epochs=1"])
        )
    out = tmp_path_factory.mktemp("comparison")
    compare(recipes, seeds=2, out=out, progress=False, say=lambda _: None)
    return out / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = (
        pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
        if os.environ.get("CI") != "true"
        else __import__("selenium.webdriver").webdriver
    )
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        skip_without("chromium with its chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(executable_path=driver)
    )
    chrome.get("about:blank")
    chrome.get_log("performance")  # discards the requests of the first, empty tab
    yield chrome
    chrome.quit()


def opened(browser: Any, page: Path, width: int, scheme: str) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    browser.get(page.as_uri())


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_of_a_comparison_in_a_browser(
    browser: Any, comparison: Path, width: int, scheme: str
) -> None:
    opened(browser, comparison, width, scheme)
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requests = {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    assert {url for url in requests if not url.startswith("data:")} <= {comparison.as_uri()}
    assert [
        entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")
    ] == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_script("document.querySelectorAll('details').forEach(part => part.open = true)")
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect())"
        ".map(b => [b.width, b.height, b.right])"
    )
    assert len(sizes) > 2 * len(METHODS)
    assert all(wide > 100 and high > 50 and right <= width for wide, high, right in sizes)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    ink = browser.execute_script("return getComputedStyle(document.body).color")
    light = [
        sum(map(int, color[color.index("(") + 1 : -1].split(",")[:3])) for color in (paper, ink)
    ]
    assert (light[0] > light[1]) == (scheme == "light")
    assert abs(light[0] - light[1]) > 400


@pytest.mark.slow
def test_labels_of_the_figures_do_not_overlap(browser: Any, comparison: Path) -> None:
    opened(browser, comparison, 1280, "light")
    browser.execute_script("document.querySelectorAll('details').forEach(part => part.open = true)")
    overlaps = browser.execute_script(
        """
        const overlaps = [];
        for (const svg of document.querySelectorAll('svg')) {
          const boxes = [...svg.querySelectorAll('text')]
            .filter(t => t.textContent.trim())
            .map(t => [t.textContent, t.getBoundingClientRect()]);
          for (let i = 0; i < boxes.length; i++) for (let j = i + 1; j < boxes.length; j++) {
            const [a, b] = [boxes[i][1], boxes[j][1]];
            const w = Math.min(a.right, b.right) - Math.max(a.left, b.left);
            const h = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
            if (w > 2 && h > 4) overlaps.push([boxes[i][0], boxes[j][0]]);
          }
        }
        return overlaps
        """
    )
    assert overlaps == []
