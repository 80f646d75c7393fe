#!/usr/bin/env python3
"""The web page in a headless Chromium: draws, drops pictures and models, reads what the page says.

    page_test.py --site BUILD/web --chromedriver chromedriver --chromium chromium [--screenshots FOLDER] [NAME ...]
"""

import argparse
import contextlib
import functools
import http.server
import math
import pathlib
import shutil
import sys
import threading
import traceback

from webdriver import Browser


def arc(middle, radius, begin, end):
    """Clockwise around (0, middle), in degrees from the top."""
    angles = [math.radians(begin + (end - begin) * i / 20) for i in range(21)]
    return [(radius * math.sin(angle), middle - radius * math.cos(angle)) for angle in angles]


# Strokes of digits, from the middle of the board in tenths of its width.
DIGITS = {
    "0": [[(0.8 * x, y) for x, y in arc(0, 3, 0, 360)]],
    "1": [[(-1.2, -1.8), (0.2, -3), (0.2, 3)]],
    "2": [[(-1.6, -1.8), (-1.2, -2.7), (0, -3), (1.3, -2.6), (1.6, -1.5), (1, 0), (-1.6, 3), (1.9, 3)]],
    "3": [[(1.25 * x, y) for x, y in arc(-1.5, 1.5, -60, 180) + arc(1.5, 1.5, 0, 240)]],
    "4": [[(0.2, -3), (-1.9, 0.8), (1.9, 0.8)], [(0.9, -1), (0.7, 3)]],
    "7": [[(-1.8, -2.8), (1.8, -2.8), (-0.4, 3)], [(-1, 0), (1.3, 0)]],
}

TESTS = {}


def test(function):
    TESTS[function.__name__] = function
    return function


def expect(found, expected, what):
    if found != expected:
        raise AssertionError(f"{what}: found {found!r}, expected {expected!r}")


class Page:
    """The page as somebody sees it who uses it."""

    def __init__(self, browser, address, digits):
        self.browser, self.address, self.digits = browser, address, digits

    def load(self):
        self.browser.open(self.address)
        self.wait_for_fact("File", "digits.safetensors")
        self.browser.wait_for("ten bars", lambda: len(self.browser.find_all("#bars li")) == 10)

    def fact(self, term):
        return self.browser.run("""
            const dt = [...document.querySelectorAll('#facts dt')].find((dt) => dt.textContent === arguments[0]);
            return dt ? dt.nextElementSibling.textContent : '';""", term)

    def wait_for_fact(self, term, text):
        self.browser.wait_for(f"{term}: {text}", lambda: text in self.fact(term))

    def best(self):
        return self.browser.text("#best-label")

    def wait_for_best(self, label):
        try:
            self.browser.wait_for(f"class {label}", lambda: self.best() == label, 10)
        except AssertionError as error:
            raise AssertionError(f"{error}; but {self.best()}, problem: {self.problem()}") from None

    def problem(self):
        return self.browser.text("#problem") if self.browser.run("return !document.getElementById('problem-box').hidden") else ""

    def wait_for_problem(self, text):
        self.browser.wait_for(f"the problem {text!r}", lambda: self.problem() != "", 10)
        expect(self.problem(), text, "problem")

    def draw(self, digit, kind="mouse"):
        width = self.browser.run("return pad.getBoundingClientRect().width")
        for stroke in DIGITS[digit]:
            self.browser.stroke("#pad", [(x * width / 10, y * width / 10) for x, y in stroke], kind)

    def picture(self, label):
        path = sorted((self.digits / "pictures" / label).glob("*.png"))[1]
        return path.name, path.read_bytes()

    def weights(self):
        return (self.digits / "digits.safetensors").read_bytes()


@test
def loads_the_digits_model(page):
    expect(page.fact("Variant"), "vanillanet_digits, as trained, folded now", "variant")
    expect(page.best(), "–", "answer before there is a picture")


@test
def recognises_digits_that_are_drawn_with_the_mouse(page):
    for digit in DIGITS:
        page.draw(digit)
        page.wait_for_best(digit)
        value = page.browser.text("#bars .first .value")
        expect(value.endswith(" %") and float(value[:-2]) > 50, True, f"share of {digit}, {value}")
        page.browser.click("#clear")
        page.wait_for_best("–")


@test
def recognises_a_digit_that_is_drawn_with_a_finger(page):
    page.draw("3", kind="touch")
    page.wait_for_best("3")
    # After the answer to the last stroke, while the one before may have been 3 already.
    page.browser.wait_for("a screen reader told", lambda: page.browser.text("#announcement").startswith("3, "), 10)


@test
def recognises_shipped_pictures_that_are_dropped(page):
    for label in "0123456789":
        page.browser.drop([page.picture(label)])
        page.wait_for_best(label)
    expect(page.problem(), "", "problem")


@test
def recognises_examples_and_files_that_are_opened(page):
    page.browser.click("#samples button:nth-child(5)")
    page.wait_for_best("4")
    page.browser.type("#files", str(sorted((page.digits / "pictures" / "9").glob("*.png"))[0]))
    page.wait_for_best("9")


@test
def draws_anew_after_a_picture(page):
    page.browser.drop([page.picture("8")])
    page.wait_for_best("8")
    page.draw("1")
    page.wait_for_best("1")


@test
def shows_what_the_library_says_of_hostile_models(page):
    page.browser.drop([page.picture("5")])
    page.wait_for_best("5")
    garbage = bytes((i * 7919) % 251 for i in range(1000))
    page.browser.drop([("garbage.safetensors", garbage)])
    page.wait_for_problem("garbage.safetensors: neither a safetensors file nor a PyTorch checkpoint but one that begins "
                          "with the bytes 00 8a 19 a3 32 bc 4b d5")
    page.browser.drop([("<b>cut</b>.safetensors", page.weights()[:5000])])
    page.browser.wait_for("the next problem", lambda: page.problem().startswith("<b>cut</b>"))
    expect(page.problem(), "<b>cut</b>.safetensors: a header of 6560 bytes in a file of 5000; not a safetensors file, or "
           "truncated?", "problem")
    expect((page.best(), page.fact("File")), ("5", "digits.safetensors"), "model that stays")
    page.browser.drop([page.picture("6")])
    page.wait_for_best("6")
    expect(page.problem(), "", "problem after the next file")
    page.browser.drop([("empty.safetensors", b"")])
    page.wait_for_problem("empty.safetensors: neither a safetensors file nor a PyTorch checkpoint but an empty one; a "
                          "failed download?")
    page.browser.click("#dismiss")
    expect(page.problem(), "", "problem that was closed")


@test
def shows_what_the_library_says_of_hostile_pictures(page):
    name, data = page.picture("2")
    page.browser.drop([(name, data[:300])])
    page.browser.wait_for("a problem", lambda: page.problem() != "")
    expect(page.problem().startswith(f"{name}: cannot read this PNG picture: the file ends too early"), True,
           page.problem())


@test
def takes_a_model_with_its_labels(page):
    page.browser.drop([page.picture("7")])
    page.wait_for_best("7")
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "<i>eight</i>", "nine"]
    page.browser.drop([("names.txt", "\n".join(names).encode()), ("mine.safetensors", page.weights())])
    page.wait_for_best("seven")
    expect(page.fact("File"), "mine.safetensors", "file")
    expect(page.browser.text("#bars li:nth-child(9) .name"), "<i>eight</i>", "a name from a file as text")
    page.browser.drop([("two.txt", b"one\ntwo\n")])
    page.wait_for_problem("two.txt: has 2 labels for 10 classes: are they of another model?")
    expect(page.best(), "seven", "names that stay")
    page.browser.click("#reset")
    page.wait_for_best("7")


@test
def loads_a_model_under_the_name_of_a_variant(page):
    page.browser.run("variant.value = 'vanillanet_5'")
    page.browser.drop([("mine.safetensors", page.weights())])
    page.browser.wait_for("a problem", lambda: page.problem() != "")
    expect("vanillanet_5" in page.problem(), True, page.problem())


@test
def controls_have_names_and_the_page_fits_a_phone(page):
    for element in page.browser.find_all(":is(button, select, input, canvas[role]):not([hidden] *)"):
        expect(page.browser.accessible_name(element).strip() != "", True, "a control with a name")
    page.browser.command("Emulation.setDeviceMetricsOverride", width=320, height=640, deviceScaleFactor=2, mobile=True)
    try:
        page.load()
        page.browser.drop([("a" * 200 + ".safetensors", b"x" * 100)])
        page.browser.wait_for("a problem", lambda: page.problem() != "")
        expect(page.browser.run("return document.documentElement.scrollWidth"), 320, "width of the page")
        page.draw("0", kind="touch")
        page.wait_for_best("0")
    finally:
        page.browser.command("Emulation.clearDeviceMetricsOverride")


CONTRASTS = """
    const luminance = (color) => {
      const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map((c) => c / 255)
        .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
      const color = getComputedStyle(element).backgroundColor;
      return color === 'rgba(0, 0, 0, 0)' ? ground(element.parentElement) : color;
    };
    return [...document.querySelectorAll('h1, h2, h3, p, span, label, button, select, dt, dd, figcaption, #problem')]
      .filter((element) => element.textContent.trim() !== '' && element.offsetParent !== null)
      .map((element) => {
        const [a, b] = [luminance(getComputedStyle(element).color), luminance(ground(element))];
        return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.outerHTML.slice(0, 80)];
      }).filter(([contrast]) => contrast < 4.5);"""


@test
def text_stands_out_in_light_and_dark(page):
    for scheme in ["light", "dark"]:
        page.browser.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        page.load()
        page.browser.drop([("x.safetensors", b"hello")])
        page.browser.wait_for("a problem", lambda: page.problem() != "")
        expect(page.browser.run(CONTRASTS), [], f"texts of a contrast below 4.5 in {scheme}")
    page.browser.command("Emulation.setEmulatedMedia", features=[])


def take_screenshots(page, folder):
    folder.mkdir(parents=True, exist_ok=True)
    page.browser.command("Emulation.setScrollbarsHidden", hidden=True)
    sizes = {"wide": (1120, 930, 1, False), "phone": (390, 1280, 2, True)}
    for size, (width, height, scale, mobile) in sizes.items():
        page.browser.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
                             mobile=mobile)
        for scheme in ["light", "dark"]:
            page.browser.command("Emulation.setEmulatedMedia",
                                 features=[{"name": "prefers-color-scheme", "value": scheme}])
            page.load()
            page.draw("3", "touch" if mobile else "mouse")
            page.wait_for_best("3")
            page.browser.run("return new Promise((done) => setTimeout(done, 300))")
            (folder / f"{size}-{scheme}.png").write_bytes(page.browser.screenshot())
    page.browser.drop([("garbage.safetensors", b"hello")])
    page.browser.wait_for("a problem", lambda: page.problem() != "")
    (folder / "problem.png").write_bytes(page.browser.screenshot())


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def served(folder):
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


def open_browser(options):
    commands = [shutil.which(command) for command in (options.chromedriver, options.chromium)]
    if None in commands:
        sys.exit(f"{options.chromedriver} and {options.chromium} are needed, and not both are here")
    return Browser(*commands)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", required=True, type=pathlib.Path)
    parser.add_argument("--chromedriver", default="chromedriver")
    parser.add_argument("--chromium", default="chromium")
    parser.add_argument("--screenshots", type=pathlib.Path, help="only take screenshots, into this folder")
    parser.add_argument("tests", nargs="*", help="names of tests; all without any")
    options = parser.parse_args()

    failures = 0
    with served(options.site) as address, contextlib.closing(open_browser(options)) as browser:
        page = Page(browser, address, (options.site / "digits").resolve())
        if options.screenshots:
            take_screenshots(page, options.screenshots)
            return 0
        for name in options.tests or TESTS:
            try:
                page.load()
                TESTS[name](page)
                expect(browser.complaints(), [], "errors on the console")
                print(f"passed  {name}", flush=True)
            except Exception:
                failures += 1
                print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
