"""How fast pages become text: the step `html` with either quality, and trafilatura by itself.

python benchmarks/html_extraction.py [--pages N]

The pages are made of the documentation of this Python, in a frame of menus, scripts, related links and a footer, about
half of each page. Interleaved, the best of several rounds, one process.
"""

from __future__ import annotations

import argparse
import html
import json
import platform
import random
import time
from collections.abc import Callable
from importlib.metadata import version

from llmkit.cleaning.steps.html import Html
from llmkit.data.corpus import Document
from llmkit.data.sources.python_docs import PythonDocs

ROUNDS = 3


def paragraphs(limit: int) -> list[str]:
    """Return paragraphs of the documentation, most of them prose."""
    found: list[str] = []
    source = PythonDocs(include=["topics"], heldout_fraction=0)
    for file in source.files():
        for record in source.read(file):
            found += getattr(record, "text", "").split("\n\n")
    return found[:limit]


def page(texts: list[str], rng: random.Random) -> str:
    """Return one page: about ten paragraphs or code blocks, and what surrounds them on the web."""
    body = []
    for text in rng.sample(texts, 10):
        escaped = html.escape(text)
        first, _, rest = escaped.partition(" ")
        is_code = text.startswith(("   ", ">>>"))
        body.append(
            f"<pre><code>{escaped}</code></pre>" if is_code else f"<p><a href='/{len(text)}'>{first}</a> {rest}</p>"
        )
    links = "".join(
        f'<li class="menu-item"><a class="nav-link" href="/section/{n}">Section {n}</a></li>' for n in range(25)
    )
    related = "".join(
        f'<div class="card"><a href="/story/{n}"><img src="/i/{n}.jpg" alt="">Story {n}</a></div>' for n in range(12)
    )
    script = "window.data=" + json.dumps({f"key{n}": rng.random() for n in range(60)}) + ";"
    return (
        f"<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>Page</title><script>{script}</script>"
        f"<style>.card{{margin:1em}}</style></head><body class='single'><nav class='navbar'><ul>{links}</ul></nav>"
        f"<div id='wrapper'><main><article class='post'><h1>Heading</h1>{''.join(body)}</article></main>"
        f"<aside class='sidebar'><div class='related'>{related}</div></aside></div>"
        f"<footer class='site-footer'><ul>{links}</ul><p>Copyright</p></footer><script>{script}</script></body></html>"
    )


def extractors() -> dict[str, Callable[[str], object]]:
    """Return what is compared."""
    import trafilatura

    def step(**fields: str) -> Callable[[str], object]:
        part = Html.model_validate(fields)
        return lambda text: part.apply(Document(id="0", text=text, source="s", meta={"format": "html"}))

    return {
        "html, quality: fast": step(quality="fast"),
        "html, quality: high": step(quality="high"),
        "trafilatura, its defaults": trafilatura.extract,
        "trafilatura, fast=True": lambda text: trafilatura.extract(text, fast=True),
    }


def main() -> None:
    """Print a table and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=200)
    rng = random.Random(0)
    texts = paragraphs(5000)
    pages = [page(texts, rng) for _ in range(parser.parse_args().pages)]
    num_bytes = sum(len(text.encode()) for text in pages)
    seconds: dict[str, float] = {}
    for _ in range(ROUNDS):
        for name, extract in extractors().items():
            start = time.perf_counter()
            for text in pages:
                extract(text)
            seconds[name] = min(seconds.get(name, float("inf")), time.perf_counter() - start)
    rates = {name: num_bytes / 1e6 / value for name, value in seconds.items()}
    print(f"{len(pages)} pages, {num_bytes / len(pages) / 1000:.1f} kB each")
    for name, rate in rates.items():
        print(f"{name:28} {rate:7.1f} MB/s {len(pages) / seconds[name]:9.0f} pages/s")
    versions = {name: version(name) for name in ("resiliparse", "trafilatura")} | {"python": platform.python_version()}
    print(json.dumps({"num_bytes": num_bytes, "megabytes_per_second": rates, "versions": versions}))


if __name__ == "__main__":
    main()
