"""What a person does with a browser, and what a person sees: the words of the tests in tests/browser.

Waits are WebDriver's own: ``go`` and ``click`` return when the page they lead to has loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

# Colors are lists: red, green, blue, from 0 to 255.
COLORS = """
const rgba = (color) => {
  const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number);
  return [r, g, b, a];
};
const paper = (element) => {
  for (; element; element = element.parentElement) {
    const color = rgba(getComputedStyle(element).backgroundColor);
    if (color[3] === 1) return color.slice(0, 3);
  }
  return null;
};
"""
# Each element that has text of its own: its words, how large they are, ink and paper, where its box begins and ends.
TEXTS = f"""
{COLORS}
return [...document.body.querySelectorAll("*")]
  .filter((element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
  .filter((element) => element.checkVisibility())
  .map((element) => {{
    const style = getComputedStyle(element);
    return {{
      words: element.innerText, size: parseFloat(style.fontSize), ink: rgba(style.color).slice(0, 3),
      paper: paper(element), left: element.getBoundingClientRect().left, right: element.getBoundingClientRect().right,
    }};
  }});
"""
STYLE_SHEETS = """
return performance.getEntriesByType("resource")
  .filter((entry) => entry.initiatorType === "link" || entry.initiatorType === "css")
  .map((entry) => [new URL(entry.name).pathname, entry.responseStatus]);
"""


class Visitor:
    """One person at one browser.  ``port`` is the server's."""

    def __init__(self, driver: Chrome, port: int) -> None:
        self.driver = driver
        self.port = port

    def forget_everything(self) -> None:
        """As with a new profile: no cookies of any site, no cache, nothing emulated, an empty page."""
        self.driver.get("about:blank")
        for command in (
            "Network.clearBrowserCookies",
            "Network.clearBrowserCache",
            "Emulation.clearDeviceMetricsOverride",
        ):
            self.driver.execute_cdp_cmd(command, {})
        self.prefer("")
        self.complaints()

    def complaints(self) -> list[str]:
        """What the browser wrote on its console since the last look; that a site has no icon is no complaint."""
        messages = [entry["message"] for entry in self.driver.get_log("browser")]
        return [message for message in messages if "/favicon.ico - " not in message]

    # --- doing

    def go(self, host: str, path: str = "/") -> None:
        self.driver.get(f"http://{host}:{self.port}{path}")

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def type(self, selector: str, text: str) -> None:
        field = self.find(selector)
        field.clear()
        field.send_keys(text)

    def click(self, selector: str) -> None:
        self.find(selector).click()

    def follow(self, selector: str) -> None:
        """Click what leads to another page, or to the same anew; returns when that has loaded."""
        self.driver.execute_script("window.isOld = true")
        self.click(selector)
        WebDriverWait(self.driver, 20).until(
            lambda driver: driver.execute_script("return !window.isOld && document.readyState === 'complete'")
        )

    def prefer(self, scheme: str) -> None:
        """``light``, ``dark``, or "" for no opinion."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def look_through(self, width: int) -> None:
        """A window of that many CSS pixels; a narrow one is a phone's."""
        metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def photograph(self, file: Path) -> None:
        self.driver.save_screenshot(str(file))

    # --- seeing

    @property
    def page_width(self) -> int:
        """In CSS pixels; more than the window's when one must scroll sideways."""
        width: int = self.driver.execute_script("return document.documentElement.scrollWidth")
        return width

    @property
    def ground(self) -> list[float]:
        """The color behind everything, as [red, green, blue]."""
        ground: list[float] = self.driver.execute_script(f"{COLORS} return paper(document.body)")
        return ground

    @property
    def path(self) -> str:
        path: str = self.driver.execute_script("return location.pathname")
        return path

    @property
    def text(self) -> str:
        """The words on the page."""
        return self.find("body").text

    @property
    def status(self) -> int:
        """How the server answered for this page."""
        status: int = self.driver.execute_script("return performance.getEntriesByType('navigation')[0].responseStatus")
        return status

    def style(self, selector: str, name: str) -> str:
        """A computed property."""
        return self.find(selector).value_of_css_property(name)

    def style_sheets(self) -> dict[str, int]:
        """Path and status of each that this page loaded."""
        return dict(self.driver.execute_script(STYLE_SHEETS))

    def texts(self) -> list[dict[str, Any]]:
        """All that can be read, as ``TEXTS`` says."""
        found: list[dict[str, Any]] = self.driver.execute_script(TEXTS)
        return found
