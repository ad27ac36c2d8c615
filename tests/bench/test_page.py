"""The page, opened in a real browser. Skipped where there is no Chromium with its driver."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aecodec.bench import comparison, page, pictures, report
from aecodec.bench.codecs import Options, open_codec
from aecodec.bench.drawings import photograph
from aecodec.bench.report import Results
from aecodec.bench.table import Row

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1200,2400")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("photos")
    for name, size, seed in (("a", (240, 160), 1), ("b", (120, 180), 2)):
        Image.fromarray(photograph(*size, seed=seed)).save(folder / f"{name}.png")
    photos, _ = pictures.from_folder(folder, "photos")
    codecs = [open_codec(name, Options()) for name in ("jpeg", "webp", "jpeg2000")]
    return comparison.compare(photos, codecs, (0.5, 1.0))


@pytest.fixture
def html(results_rows: list[Row], compared: list[dict[str, Any]], tmp_path: Path) -> str:
    results = Results(results_rows, {}, [])
    figures = report.save_figures(results, tmp_path)
    return page.render(report.sections(results), figures, report.figure_lines(results), compared)


def test_versions_are_as_large_as_asked(compared: list[dict[str, Any]]) -> None:
    for picture in compared:
        for size in picture["sizes"]:
            assert size["target"] == round(size["rate"] * picture["width"] * picture["height"] / 8)
            for version in size["versions"]:
                if version["codec"] != "jpeg":  # its tables alone are that large
                    assert version["bytes"] == pytest.approx(size["target"], rel=0.12), version["codec"]


def test_nearest_is_the_nearest_of_all_settings() -> None:
    codec, picture = open_codec("webp", Options()), photograph(96, 64)
    sizes = {setting: len(codec.encode(picture, setting)) for setting in codec.fine}
    for target in (1, 700, 1500, 10 ** 6):
        setting, data = comparison.nearest(codec, picture, target)
        assert len(data) == sizes[setting]
        assert abs(len(data) - target) == min(abs(size - target) for size in sizes.values())


def test_the_middle_of_large_pictures_is_shown() -> None:
    large = np.arange(1000 * 900, dtype=np.uint32).view(np.uint8)[:1000 * 900 * 3].reshape(900, 1000, 3)
    assert np.array_equal(comparison.middle(large), large[194:706, 116:884])
    small = photograph(50, 30)
    assert np.array_equal(comparison.middle(small), small)


def test_the_page_needs_nothing_else(html: str) -> None:
    assert not re.search(r"\{\{\w+\}\}", html)
    links = re.findall(r"""(?:src|href)\s*=\s*["']([^"'#][^"']*)""", html)
    assert all(link.startswith("data:") for link in links)
    assert not re.search(r"@import|url\((?!#|\"?#)", html)
    identities = re.findall(r'\bid="([^"]+)"', html)
    assert len(identities) - len(set(identities)) == 0


def test_text_is_escaped(results_rows: list[Row], tmp_path: Path) -> None:
    results = Results(results_rows, {"left_out": {"<b>.png": "a & b </script>"}}, [])
    figures = report.save_figures(results, tmp_path)
    picture = {"name": "</script><b>", "width": 1, "height": 1, "original": "", "sizes": []}
    text = page.render(report.sections(results), figures, report.figure_lines(results), [picture])
    assert "&lt;b&gt;.png (a &amp; b &lt;/script&gt;)" in text
    assert "</script><b>" not in text


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no chromium with its driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    yield started
    started.quit()


def test_the_page_in_a_browser(html: str, browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select, WebDriverWait

    path = tmp_path / page.PAGE
    path.write_text(html, encoding="utf-8")
    browser.get(path.as_uri())
    turn = "0"

    def element(identity: str) -> Any:
        return browser.find_element(By.ID, identity)

    def settled() -> None:
        """Wait until the page has drawn what was picked last."""
        nonlocal turn
        drawn = "return document.body.dataset.shown === String(drawing) && document.body.dataset.shown"
        WebDriverWait(browser, 20).until(lambda _: browser.execute_script(drawn) not in (False, turn))
        turn = browser.execute_script(drawn)

    def crop(side: str) -> str:
        return browser.execute_script(f"return document.getElementById('crop-{side}').toDataURL()")

    def state() -> dict[str, str]:
        return {"left": element("left").get_attribute("src"), "right": element("right").get_attribute("src"),
                **{f"crop {side}": crop(side) for side in ("original", "left", "right")},
                "notes": element("note-left").text + element("note-right").text}

    settled()
    first = state()
    assert first["left"] != first["right"]
    assert len({first["crop original"], first["crop left"], first["crop right"]}) == 3
    assert browser.execute_script("return document.getElementById('left').naturalWidth") == 240

    # the slider moves the edge between the two versions
    before = element("left").value_of_css_property("clip-path")
    slider = element("split")
    ActionChains(browser).drag_and_drop_by_offset(slider, 60, 0).perform()
    dragged = element("left").value_of_css_property("clip-path")
    assert dragged != before
    slider.send_keys(Keys.ARROW_LEFT)
    assert element("left").value_of_css_property("clip-path") != dragged
    inset = float(re.findall(r"([\d.]+)%", dragged)[0])
    assert inset < 50, "to the right means more of the left version"

    # a click chooses the crops' place
    ActionChains(browser).move_to_element_with_offset(element("stage"), -80, -60).click().perform()
    settled()
    clicked = state()
    assert all(clicked[f"crop {side}"] != first[f"crop {side}"] for side in ("original", "left", "right"))
    assert clicked["left"] == first["left"]

    # every picker changes what it says
    Select(element("pick-left")).select_by_visible_text("JPEG 2000")
    settled()
    other = state()
    assert other["left"] != first["left"]
    assert other["right"] == first["right"]
    assert element("tag-left").text == "JPEG 2000"
    assert other["notes"] != first["notes"]
    Select(element("size")).select_by_index(1)
    settled()
    larger = state()
    assert larger["left"] != other["left"]
    assert larger["right"] != other["right"]
    assert larger["crop original"] == other["crop original"]
    Select(element("picture")).select_by_visible_text("photos/b")
    settled()
    turned = state()
    assert turned["left"] != larger["left"]
    assert turned["crop original"] != larger["crop original"]
    assert Select(element("pick-left")).first_selected_option.text == "JPEG 2000", "the choice of codecs stays"
    Select(element("pick-left")).select_by_visible_text("original")
    settled()
    assert crop("left") == crop("original")

    # a switch hides its line
    switch = browser.find_element(By.CSS_SELECTOR, '[data-line="rd_photos_psnr_rgb-line:webp"]')
    line = element("rd_photos_psnr_rgb-line:webp")
    assert line.is_displayed()
    switch.click()
    assert not line.is_displayed()

    assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    fetched = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [name for name in fetched if not name.startswith("data:")] == []


def test_the_page_without_pictures(results_rows: list[Row], browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver.common.by import By

    results = Results(results_rows, {}, [])
    figures = report.save_figures(results, tmp_path)
    path = tmp_path / page.PAGE
    path.write_text(page.render(report.sections(results), figures, report.figure_lines(results), []), encoding="utf-8")
    browser.get(path.as_uri())
    assert browser.find_element(By.ID, "nothing").is_displayed()
    assert not browser.find_element(By.ID, "viewer").is_displayed()
    assert browser.get_log("browser") == []
