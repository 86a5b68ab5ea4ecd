"""A real browser loads a small site: page, style, scripts, pictures, JSON, a range, and a 304."""
import base64
import html
import json
import re

import pytest

from harness import client

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
PAGE = """<!doctype html><meta charset="utf-8"><title>Tidemill</title><link rel="stylesheet" href="style.css">
<body><img id="png" src="pixel.png"><img id="svg" src="shape.svg"><pre id="out">nothing ran</pre>
<script src="classic.js"></script><script type="module" src="module.mjs"></script></body>"""
CLASSIC = "window.classic = 'ran';"
MODULE = """
import { answer } from './lib/answer.mjs';
const load = img => img.decode().then(() => img.naturalWidth, e => String(e));
const out = { answer, classic: window.classic };
out.json = await (await fetch('data.json')).json();
const part = await fetch('data.json', { cache: 'no-store', headers: { Range: 'bytes=1-6' } });
out.part = [part.status, await part.text(), part.headers.get('content-range')];
out.folder = (await fetch('sub?q=1')).url.replace(location.origin, '');
out.missing = (await fetch('missing')).status;
out.post = (await fetch('data.json', { method: 'POST', body: 'x' })).status;
out.color = getComputedStyle(document.body).color;
out.png = await load(document.getElementById('png'));
out.svg = await load(document.getElementById('svg'));
out.many = (await Promise.all([...Array(50).keys()].map(n => fetch('data.json?' + n).then(r => r.status)))).every(s => s === 200);
document.getElementById('out').textContent = JSON.stringify(out);
"""
FLAGS = [
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-sandbox", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--virtual-time-budget=20000",
]  # fmt: skip


@pytest.mark.slow
def test_a_page_and_all_that_it_loads(start, folder, tmp_path):
    site = folder / "site"
    (site / "lib").mkdir(parents=True)
    (site / "sub").mkdir()
    data = json.dumps({"tide": "high", "numbers": list(range(100))})
    files = {
        "index.html": PAGE, "style.css": "body { color: rgb(1, 2, 3) }", "classic.js": CLASSIC, "module.mjs": MODULE,
        "lib/answer.mjs": "export const answer = 42;", "data.json": data, "sub/index.html": "<p>sub",
        "shape.svg": '<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"><rect width="7" height="7"/></svg>',
    }  # fmt: skip
    for name, text in files.items():
        (site / name).write_text(text)
    (site / "pixel.png").write_bytes(PIXEL)
    server = start("serve", site)
    done = client("chromium", *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", server.url(), text=True, seconds=120)
    found = re.search(r'<pre id="out">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, f"no page: {done.stdout!r}\n{done.stderr[-2000:]}"
    assert found[1] != "nothing ran", done.stderr[-2000:]
    assert json.loads(html.unescape(found[1])) == {
        "answer": 42, "classic": "ran", "json": json.loads(data), "part": [206, data[1:7], f"bytes 1-6/{len(data)}"],
        "folder": "/sub/?q=1", "missing": 404, "post": 405, "color": "rgb(1, 2, 3)", "png": 1, "svg": 7, "many": True,
    }  # fmt: skip
