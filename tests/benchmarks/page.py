"""The page for people: how soon Chromium paints it, with nothing in its cache."""

from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, sync_playwright

from tests.benchmarks.figures import Figures
from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.http.server import Server
from tests.http.wire import TOKEN

LOADS = 25
FIRST_PAINT = 0.1  # seconds
# Resolves to the two times of a page, in milliseconds since its navigation (W3C Paint Timing).
PAINTS = """() => new Promise(resolve => new PerformanceObserver((_, observer) => {
  const paints = performance.getEntriesByType('paint');
  if (paints.length === 2) {
    observer.disconnect();
    resolve(Object.fromEntries(paints.map(each => [each.name, each.startTime])));
  }
}).observe({type: 'paint', buffered: true}))"""


def measure(folder: Path, figures: Figures) -> None:
    """Print the medians over some loads: of the first paint, which has a bound, and of the first contents."""
    with Server(folder) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        _paints(browser, server)  # Chromium itself starts
        loads = [_paints(browser, server) for _ in range(LOADS)]
        browser.close()
    first, contents = (median(each[name] for each in loads) for name in ("first-paint", "first-contentful-paint"))
    figures.seconds(f"page: first paint, median of {LOADS}", first, FIRST_PAINT)
    print(f"page: first contents (text, icons), median of {LOADS}: {contents:.3f} s")


def _paints(browser: Browser, server: Server) -> dict[str, float]:
    """Load the page, signed in, and return the seconds to its paints."""
    context = browser.new_context(base_url=server.url)
    response = context.request.post("/v1/session", data={"token": TOKEN})
    assert response.ok, response.text()
    page = context.new_page()
    page.goto("/")
    times: dict[str, float] = page.evaluate(PAINTS)
    page.wait_for_load_state("networkidle")  # so that the next load has the machine to itself
    context.close()
    return {name: milliseconds / 1000 for name, milliseconds in times.items()}
