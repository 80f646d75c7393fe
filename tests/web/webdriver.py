"""A browser that does what a script says: the WebDriver protocol over chromedriver, as far as the page's test needs it."""

import base64
import json
import re
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key under which the protocol passes an element


class Browser:
    def __init__(self, chromedriver, chromium, width=1120, height=860):
        self.profile = tempfile.TemporaryDirectory(prefix="plainnet_page_", ignore_cleanup_errors=True)
        self.process = subprocess.Popen([chromedriver, "--port=0"], stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)
        self.session = None
        try:
            self.server = f"http://127.0.0.1:{self._wait_for_port()}"
            arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                         f"--user-data-dir={self.profile.name}", f"--window-size={width},{height}"]
            options = {"goog:chromeOptions": {"binary": chromium, "args": arguments},
                       "goog:loggingPrefs": {"browser": "ALL"}}
            created = self._call("POST", "/session", {"capabilities": {"alwaysMatch": options}})
            self.session = created["sessionId"]
        except BaseException:
            self.close()
            raise

    def _wait_for_port(self):
        for line in self.process.stdout:
            found = re.search(r"started successfully on port (\d+)", line)
            if found:
                # Nobody reads what follows: a full pipe would stop the driver.
                threading.Thread(target=self.process.stdout.read, daemon=True).start()
                return int(found.group(1))
        raise RuntimeError("chromedriver does not start")

    def _call(self, method, path, body=None):
        if self.session:
            path = f"/session/{self.session}{path}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.server + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None

    def close(self):
        try:
            if self.session:
                self._call("DELETE", "")
        finally:
            self.process.terminate()
            self.process.wait(30)
            self.process.stdout.close()
            self.profile.cleanup()

    def open(self, address):
        self._call("POST", "/url", {"url": address})

    def run(self, script, *arguments):
        """The body of a function; a promise is waited for."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def find(self, selector):
        return self._call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def find_all(self, selector):
        found = self._call("POST", "/elements", {"using": "css selector", "value": selector})
        return [element[ELEMENT] for element in found]

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0]).textContent.trim()", selector)

    def click(self, selector):
        self._call("POST", f"/element/{self.find(selector)}/click", {})

    def type(self, selector, text):
        self._call("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def accessible_name(self, element):
        return self._call("GET", f"/element/{element}/computedlabel")

    def stroke(self, selector, points, kind="mouse"):
        """Presses, moves along points measured from the middle of the element, and lets go."""
        origin = {ELEMENT: self.find(selector)}
        moves = [{"type": "pointerMove", "origin": origin, "x": round(x), "y": round(y), "duration": 15}
                 for x, y in points]
        actions = moves[:1] + [{"type": "pointerDown", "button": 0}] + moves[1:] + [{"type": "pointerUp", "button": 0}]
        pointer = {"type": "pointer", "id": kind, "parameters": {"pointerType": kind}, "actions": actions}
        self._call("POST", "/actions", {"actions": [pointer]})

    def drop(self, files):
        """Drops files, pairs of a name and bytes, as if from another window."""
        self.run("""
            const transfer = new DataTransfer();
            for (const [name, base64] of arguments[0]) {
              transfer.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name));
            }
            for (const kind of ['dragenter', 'dragover', 'drop']) {
              document.querySelector('main').dispatchEvent(
                new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
            }""", [[name, base64.b64encode(data).decode()] for name, data in files])

    def wait_for(self, what, check, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if check():
                return
            time.sleep(0.05)
        raise AssertionError(f"after {seconds} s still not: {what}")

    def command(self, name, **parameters):
        """One of the browser's own commands, beyond the protocol."""
        return self._call("POST", "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def complaints(self):
        """What the page and the browser wrote to the console as errors since the last call."""
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})
                if entry["level"] == "SEVERE"]

    def screenshot(self):
        return base64.b64decode(self._call("GET", "/screenshot"))
