"""A headless Chromium from Debian's packages, and pages opened from disk in it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from debian import install

PACKAGES = ["chromium", "chromium-driver"]
ENOUGH_S = 60


def why_not() -> str:
    """Why there is no browser to be had on this machine; empty where there is. Installs it if need be."""
    if find_spec("selenium") is None:
        return "selenium is not installed (make test-browser installs it)"
    if shutil.which("chromium") and shutil.which("chromedriver"):
        return ""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return "chromium and chromedriver are not installed, and this is not root on Debian, who could install them"
    return install(PACKAGES)


class Page:
    """One tab. Files are opened as a person opens them, from disk."""

    def __init__(self, driver) -> None:
        self.driver = driver

    def open(self, path: Path, part: str = "") -> "Page":
        """Open a file, at a part of it, and wait until its scripts have shown what they show."""
        self.driver.get("about:blank")
        self.driver.get(path.as_uri() + (f"#{part}" if part else ""))
        self.until(
            "return document.readyState == 'complete' && (document.body.dataset.ready || typeof site === 'undefined')"
        )
        return self

    def run(self, script: str, *values: object):
        """The result of a script in the page."""
        return self.driver.execute_script(script, *values)

    def until(self, script: str, *values: object):
        """The first true result of a script. Fails after `ENOUGH_S` seconds."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, ENOUGH_S, poll_frequency=0.05).until(lambda _: self.run(script, *values))

    def keys(self, *keys: str) -> None:
        """Type where the focus is."""
        from selenium.webdriver import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def text(self, selector: str = "body") -> str:
        """The text of an element as it is shown."""
        return self.run("return document.querySelector(arguments[0]).innerText", selector)

    def texts(self, selector: str) -> list[str]:
        """The texts of all elements."""
        return self.run(
            "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText ?? e.textContent)", selector
        )

    def links(self) -> list[str]:
        """Addresses of all links."""
        return self.run("return [...document.querySelectorAll('a[href]')].map((a) => a.href)")

    def errors(self) -> list[str]:
        """What the page wrote to the console since the last time that was asked."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


@contextmanager
def browser(profile: Path, phone: bool = False) -> Iterator[Page]:
    """A headless Chromium of a desktop's size, or a phone's."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={profile}")
    options.add_argument("--window-size=1300,900")
    if phone:
        options.add_experimental_option("mobileEmulation", {"deviceMetrics": {"width": 390, "height": 844}})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield Page(driver)
    finally:
        driver.quit()
