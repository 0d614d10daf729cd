"""The site in a real browser, opened from disk: it loads, sorts, filters, shows tokens, runs no text of the data."""

from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
import site_tables
from browser import browser, why_not
from site_tables import HOSTILE, KEY, SET, TOKENS

from rlgen.site.build import build

pytestmark = pytest.mark.browser

ROWS = "#table .tabulator-row"
MANY = 32_768
TAKEN = "return performance.measure('all', undefined, 'shown').duration"  # ms, from the start of loading


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    if reason := why_not():
        pytest.skip(f"NO BROWSER TEST: {reason}")
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    return written(tmp_path_factory.mktemp("small"), 130, ("base@1", "rl@5"))


def written(results: Path, latents: int, members: tuple[str, ...]) -> Path:
    cfg, sources = site_tables.write(results, latents, members)
    build(cfg, sources, results / "site")
    return results / "site"


def column(page, place: int) -> list[str]:
    return page.texts(f"{ROWS} .tabulator-cell:nth-child({place})")


def test_the_index_loads_sorts_and_filters(page, site):
    page.open(site / "index.html")
    assert page.text("#count") == "129 of 130 latents" and column(page, 1)[:3] == ["0", "2", "3"]
    nrn = "return [...document.querySelectorAll('.tabulator-col')].find((c) => c.innerText.startsWith('NRN'))"
    for first in ("0", "0.992"):
        page.run(f"({nrn[7:]}).querySelector('.tabulator-col-title').click()")
        page.until(f"return document.querySelector('{ROWS} .tabulator-cell:nth-child(6)').innerText == '{first}'")
    page.run("page.table.setHeaderFilterValue('nrn_l1', '0.5..0.52')")
    page.until("return document.getElementById('count').innerText.startsWith('3 of')")  # 65 to 67 of 130
    assert sorted(column(page, 1)) == ["65", "66", "67"]
    page.run("page.table.setHeaderFilterValue('sets', 'main')")
    page.until("return document.getElementById('count').innerText.startsWith('0 of')")
    page.run("document.getElementById('clear').click()")
    page.until("return document.getElementById('count').innerText.startsWith('130 of')")
    assert page.errors() == []


def test_dragging_over_a_chart_filters_the_table(page, site):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    page.open(site / "index.html")
    chart = page.driver.find_element(By.CSS_SELECTOR, "#charts canvas")
    left, width = -170 + 44, 340 - 44 - 8
    steps = ActionChains(page.driver).move_to_element_with_offset(chart, left + width // 2, 0).click_and_hold()
    steps.move_to_element_with_offset(chart, 170 - 2, 0).release().perform()
    page.until("return document.getElementById('count').innerText.startsWith('65 of')")  # NRN from .5 to 1
    assert page.errors() == []


def test_keys_lead_to_a_latent_and_back(page, site):
    page.open(site / "index.html")
    page.keys("j", "j", "j")
    page.until("return document.querySelector('.tabulator-row.chosen a')?.innerText == '3'")
    page.keys("k", "j", "\ue007")
    page.until(f"return document.body.dataset.ready == '{KEY}/3'")
    page.keys("j")
    page.until(f"return document.body.dataset.ready == '{KEY}/4'")
    page.keys("u")
    page.until(f"return document.body.dataset.ready == '{KEY}'")
    assert page.errors() == []


def test_a_latents_page_shows_its_tokens_and_their_values(page, site):
    page.open(site / "latent.html", f"{KEY}/5")
    assert f"rank {SET.index(5) + 1} of 3 in the set of main" in page.text(".steps")
    assert page.texts(".passage .token")[:4] == ["<bos>", " a", TOKENS[5], " z"]
    assert page.texts(".passage .peak") == [TOKENS[5]] * 3
    assert "0.500 (+0.125)" in page.text("#alone") and "0.500 (-0.250)" in page.text("#alone")
    assert page.text("#lens li .token") == TOKENS[6] and "0.038" in page.text("#numbers")
    assert "cosine 0.500" in page.text("#course") and page.texts("#course svg text")[1::2] == ["1.946", "1.054"]
    page.run("document.querySelector('.passage .token:last-child').click()")
    assert page.text(".passage .value") == "0.250"
    page.open(site / "latent.html", f"{KEY}/1")  # never fires
    assert "fires on no held-out token" in page.text()
    page.open(site / "latent.html", f"{KEY}/130").until("return document.body.innerText.includes('no such latent')")
    assert page.errors() == []


def test_text_of_the_data_is_shown_and_never_run(page, site):
    page.open(site / "latent.html", f"{KEY}/2")
    assert HOSTILE in page.text("#passages") and page.run("return document.title") == f"Latent 2 of {KEY}"
    page.open(site / "index.html")
    page.run("page.table.setHeaderFilterValue('fires', 'script')")
    page.until(f"return document.querySelector('{ROWS}')?.innerText.includes('script')")
    assert HOSTILE in column(page, 2)
    assert page.run("return document.title") != "run" and page.errors() == []


def test_every_link_of_every_page_leads_to_a_file(page, site):
    for name, part in [("index.html", ""), ("procedure-main.html", ""), ("latent.html", f"{KEY}/70")]:
        found = page.open(site / name, part).links()
        places = [Path(unquote(urlparse(link).path)) for link in found]
        assert len(places) > 5 and [place for place in places if not place.is_file()] == []
    assert page.errors() == []


def test_the_numbers_of_sets_need_no_scripts(page, site):
    page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.driver.get((site / "index.html").as_uri())
        cells = [cell.text for cell in page.driver.find_elements("css selector", "details td")]
    finally:
        page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert [cells[i] for i in (0, 1, 2, 4)] == ["1", "5", TOKENS[5], "0.038"]


def test_it_fits_a_phone(tmp_path, page):
    site = written(tmp_path, 80, ("base@1", *(f"reinforced@{i}" for i in range(1, 8))))
    with browser(tmp_path / "profile", phone=True) as phone:
        for name, part in [("index.html", ""), ("procedure-main.html", ""), ("latent.html", f"{KEY}/5")]:
            phone.open(site / name, part)
            assert phone.run("return document.documentElement.scrollWidth") <= 390, name


@pytest.mark.slow
def test_many_latents_are_shown_at_once(page, tmp_path):
    """The time is printed, by the browser's own clock from the start of loading; the bound is for a busy machine."""
    large = written(tmp_path, MANY, ("base@1", "sft@5", "rl@5"))
    shown = page.open(large / "index.html").run(TAKEN)
    assert page.text("#count") == f"{MANY - 1} of {MANY} latents"
    one = page.open(large / "latent.html", f"{KEY}/32767").run(TAKEN)
    print(f"{MANY} latents: index after {shown / 1000:.2f} s, a latent's page after {one / 1000:.2f} s")
    assert shown < 20_000 and one < 20_000 and page.errors() == []
