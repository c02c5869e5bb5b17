"""The page of docs/howto-browser.md in a headless Chromium: an export writes there what it writes here."""

from __future__ import annotations

import http.server
import queue
import re
import shutil
import subprocess
import threading
from functools import partial
from pathlib import Path

import pytest

from llmkit.runtimes import Generate
from llmkit.runtimes.transformers_js import PACKAGE
from onnx_models import export, save_writer

PAGE = Path(__file__).parents[2] / "docs" / "howto-browser.md"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# As a reader who types and presses the button, which can be pressed once the model is loaded, and once it has written.
TOLD = """</script>
<script type="module">
const told = (body) => fetch('/answer', { method: 'POST', body });
addEventListener('unhandledrejection', (event) => told(`${event.reason}`));
const [form, button] = ['form', 'button'].map((name) => document.querySelector(name));
const pressable = async () => {
  while (button.disabled) await new Promise((done) => setTimeout(done, 50));
};
await pressable();
form.requestSubmit();
await pressable();
await told(document.querySelector('#answer').textContent);
</script>
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed"),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


class Served(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, and what a page has to say."""

    said: queue.Queue[str] = queue.Queue()

    def do_POST(self):
        self.said.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.mark.cells(format="onnx", runtime="transformers.js in Chromium", version="4.3.2")
def test_the_page_shows_what_the_model_writes(tmp_path):
    pair = export(save_writer(tmp_path / "model", "llama"), tmp_path / "small")
    (html,) = re.findall(r"```html\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "index.html").write_text(html.replace("</script>\n", TOLD), encoding="utf-8")
    install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", f"{PACKAGE}@4.3.2"]
    subprocess.run(install, cwd=tmp_path, check=True, capture_output=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Served, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    address = f"http://127.0.0.1:{server.server_port}/index.html"
    with subprocess.Popen([CHROMIUM, *options, address], stderr=subprocess.DEVNULL) as browser:
        try:
            shown = Served.said.get(timeout=120)
        finally:
            browser.terminate()
            server.shutdown()
            server.server_close()
    # The pipeline puts no special tokens around a text, whatever the tokenizer does by itself.
    prompt = pair.ours.tokenizer("The capital of France is", add_special_tokens=False)["input_ids"]
    (written,) = pair.theirs.answer([Generate(tuple(prompt), budget=8)])
    words = written.text.split()  # a token each
    assert words
    assert shown.startswith("The capital of France is")
    assert shown.removeprefix("The capital of France is").split()[: len(words)] == words
