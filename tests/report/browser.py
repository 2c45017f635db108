"""A headless Chromium that opens a page, answers questions about it and takes its picture."""

import asyncio
import base64
import io
import itertools
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from PIL import Image

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *("--no-first-run", "--disable-quic", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--remote-debugging-port=0"),
]


class Tab:
    """One page: `seen` collects what the browser reports of its own accord (requests, console, errors)."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket, self.numbers, self.seen = socket, itertools.count(1), list[dict[str, Any]]()

    async def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self.numbers)
        await self.socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self.socket.receive_json(timeout=60)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self.seen.append(message)

    async def evaluate(self, script: str) -> Any:
        answer = await self.command("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def look(self, width: int, scheme: str, media: str = "screen") -> None:
        feature = {"name": "prefers-color-scheme", "value": scheme}
        await self.command("Emulation.setEmulatedMedia", media=media, features=[feature])
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        await self.command("Emulation.setDeviceMetricsOverride", **metrics)

    async def picture(self, selector: str) -> Image.Image:
        box = await self.evaluate(
            f"(() => {{ const b = document.querySelector('{selector}').getBoundingClientRect();"
            "return {x: b.x + scrollX, y: b.y + scrollY, width: b.width, height: Math.min(b.height, 4000)} })()"
        )
        answer = await self.command("Page.captureScreenshot", captureBeyondViewport=True, clip=box | {"scale": 1})
        return Image.open(io.BytesIO(base64.b64decode(answer["data"]))).convert("RGB")

    def events(self, method: str) -> list[dict[str, Any]]:
        return [message["params"] for message in self.seen if message.get("method") == method]


def visit(page: Path, profile: Path, act: Callable[[Tab], Awaitable[None]]) -> None:
    """Open a file in a fresh browser and act on it."""

    async def run() -> None:
        async with _browser(profile) as tab:
            for domain in ("Page", "Network", "Log", "Runtime"):
                await tab.command(f"{domain}.enable")
            await tab.command("Page.navigate", url=page.as_uri())
            ready = "new Promise(r => document.readyState == 'complete' ? r() : addEventListener('load', () => r()))"
            await tab.evaluate(ready)
            await act(tab)

    asyncio.run(run())


@asynccontextmanager
async def _browser(profile: Path) -> AsyncIterator[Tab]:
    assert CHROMIUM
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = await _port(profile / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                targets = await answer.json(content_type=None)
            address = next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page")
            async with session.ws_connect(address, max_msg_size=0) as socket:
                yield Tab(socket)
    finally:
        process.terminate()
        process.wait(30)


async def _port(file: Path) -> str:
    for _ in range(600):
        if file.exists() and len(lines := file.read_text().split()) == 2:
            return lines[0]
        await asyncio.sleep(0.1)
    raise TimeoutError("Chromium did not start within a minute")
