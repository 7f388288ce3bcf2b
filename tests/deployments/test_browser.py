"""Tests in a real browser: other pages cannot read or start anything, `spotwave open` logs in, and the UI works."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.states import Cancelled, Scheduled
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from spotwave.deployments.browser import link
from tests.conftest import Embedded
from tests.deployments.chromium import PROGRAMS, browser
from tests.flows.kit import eventually
from tests.parts import needs

pytestmark = [pytest.mark.slow, needs(*PROGRAMS)]

# Attacks by a page of another origin, in all ways that need no permission: without and with the user's cookies.
ATTACK = """
const [api, deployment, done] = arguments;
const body = JSON.stringify({include_secrets: true, parameters: {program: "command"}});
const read = [], failed = [];
async function tried(name, path, options) {
    try {
        const answer = await fetch(api + path, options);
        const text = await answer.text();
        (answer.type === "opaque" || !answer.ok ? failed : read).push(name + ": " + text.slice(0, 80));
    } catch (error) { failed.push(name); }
}
function framed(address) {
    return new Promise(resolve => {
        const frame = document.createElement("iframe");
        frame.src = address;
        frame.onload = () => {
            try { if (frame.contentDocument && frame.contentDocument.body.innerText) read.push("frame"); }
            catch (error) { failed.push("frame"); }
            resolve();
        };
        document.body.append(frame);
    });
}
function form(address) {
    const target = document.createElement("iframe");
    target.name = "into";
    const made = document.createElement("form");
    Object.assign(made, {method: "post", action: address, target: "into", enctype: "text/plain"});
    const field = document.createElement("input");
    field.name = body.slice(0, -1) + ', "x": "';
    field.value = '"}';
    made.append(field);
    document.body.append(target, made);
    made.submit();
}
function socket(address) {
    return new Promise(resolve => {
        const opened = new WebSocket(address, "prefect");
        opened.onopen = () => { opened.send(JSON.stringify({type: "auth", token: null})); };
        opened.onmessage = message => { read.push("websocket: " + message.data); };
        opened.onclose = () => { failed.push("websocket"); resolve(); };
    });
}
(async () => {
    for (const credentials of ["omit", "include"]) {
        const post = {method: "POST", body, credentials};
        await tried("blocks", "/block_documents/filter", post);
        await tried("blocks as JSON", "/block_documents/filter",
                    {...post, headers: {"Content-Type": "application/json"}});
        await tried("a run", `/deployments/${deployment}/create_flow_run`, post);
        await tried("a run, unseen", `/deployments/${deployment}/create_flow_run`, {...post, mode: "no-cors"});
        await tried("health", "/health", {credentials});
    }
    form(`${api}/deployments/${deployment}/create_flow_run`);
    await framed(api.replace("/api", "/"));
    await socket(api.replace("http", "ws") + "/events/out");
    done({read, failed: failed.length});
})();
"""


class OtherServer:
    """Another user's web server on this computer: serves an empty page, and records the requests."""

    def __init__(self) -> None:
        requests: list[dict[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requests.append({"path": self.path, "cookie": self.headers.get("Cookie", "")})
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(b"<!doctype html><title>elsewhere</title><body></body>")

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self.requests = requests
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[OtherServer]:
    found = OtherServer()
    yield found
    found.close()


@pytest.fixture(scope="module")
def chromium(embedded: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Yield a browser that is logged in with the address that `spotwave open` prints."""
    with browser(tmp_path_factory.mktemp("chromium")) as driver:
        result = embedded.spotwave("open")
        assert result.returncode == 0, result.stderr
        address = result.stdout.splitlines()[0]
        assert "/spotwave/login?ticket=" in address
        driver.get(address)
        _shows(driver, "Work Pools")
        yield driver


@pytest.fixture
def client(embedded: Embedded) -> Iterator[SyncPrefectClient]:
    with embedded.api.in_use(embedded.home), get_client(sync_client=True) as found:
        yield found


def _shows(driver: Chrome, *words: str) -> str:
    """Wait until the page's text has all of these words, and return it."""

    def look() -> str | None:
        text = driver.find_element(By.TAG_NAME, "body").text
        return text if all(word in text for word in words) else None

    return eventually(f"the page shows {words}", look, 60, 0.2)


def test_login_link_opens_working_ui(embedded: Embedded, chromium: Chrome) -> None:
    root = embedded.api.url.removesuffix("/api")
    assert chromium.current_url.startswith(root)
    for page in ("/deployments", "/v2/deployments"):  # both versions of Prefect's pages
        chromium.get(f"{root}{page}")
        assert "Can't connect" not in _shows(chromium, "water-dimer", "Deployments")
    ours = [cookie for cookie in chromium.get_cookies() if cookie["name"].startswith("spotwave-")]
    assert [(cookie["httpOnly"], cookie["sameSite"]) for cookie in ours] == [(True, "Strict")]
    assert "spotwave" not in chromium.execute_script("return document.cookie")


@pytest.mark.thorough
def test_run_graph_is_drawn(embedded: Embedded, client: SyncPrefectClient, chromium: Chrome) -> None:
    """The library that draws it compiles code, which the pages' content security policy must allow."""
    deployment = client.read_deployment_by_name("shci/water-dimer").id
    tomorrow = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=1))
    run = client.create_flow_run_from_deployment(deployment, state=tomorrow)
    client.set_flow_run_state(run.id, Cancelled(), force=True)
    chromium.get_log("browser")  # discard the messages of earlier pages
    chromium.get(link(embedded.api, embedded.home, f"/runs/flow-run/{run.id}"))
    _shows(chromium, "Cancelled", "Job Variables")
    eventually("the graph's canvas", lambda: chromium.find_elements(By.TAG_NAME, "canvas"), 60, 0.2)
    messages = [one["message"] for one in chromium.get_log("browser")]
    assert [one for one in messages if "unsafe-eval" in one or "script-src" in one or "worker-src" in one] == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("logged_in", [False, True])
def test_page_of_another_origin_cannot_read_or_start_anything(
    embedded: Embedded,
    client: SyncPrefectClient,
    chromium: Chrome,
    elsewhere: OtherServer,
    tmp_path: Path,
    host: str,
    logged_in: bool,
) -> None:
    """Tests another port of the same host, which a browser treats as the same site, and another site."""
    deployment = client.read_deployment_by_name("shci/water-dimer").id
    before = _created_by_hand(client)

    def attack(driver: Chrome) -> dict[str, Any]:
        driver.get(f"http://{host}:{elsewhere.port}/")
        result = driver.execute_async_script(ATTACK, embedded.api.url, str(deployment))
        assert isinstance(result, dict)
        return result

    if logged_in:
        result = attack(chromium)
    else:
        with browser(tmp_path) as stranger:
            result = attack(stranger)
    assert result["read"] == []
    assert result["failed"] >= 11  # ten calls and the websocket; a failed frame is not observable
    assert _created_by_hand(client) == before


def _created_by_hand(client: SyncPrefectClient) -> set[UUID]:
    """Return the flow runs that the server has not created from a schedule."""
    return {run.id for run in client.read_flow_runs() if not run.auto_scheduled}


def test_cookie_received_by_another_port_gives_no_access(
    embedded: Embedded, chromium: Chrome, elsewhere: OtherServer
) -> None:
    """A browser sends a host's cookies to all of its ports, but half a session gives no access."""
    elsewhere.requests.clear()
    chromium.get(f"http://127.0.0.1:{elsewhere.port}/")
    chromium.refresh()  # a navigation within the same site
    cookie = next((one["cookie"] for one in elsewhere.requests if "spotwave-" in one["cookie"]), "")
    assert cookie, (
        "the browser no longer sends it to other ports: this test and the second half of the session can be removed"
    )
    found = httpx.post(
        f"{embedded.api.url}/block_documents/filter", json={}, headers={"Cookie": cookie}, trust_env=False, timeout=30
    )
    assert found.status_code == 401


def test_login_link_works_once(embedded: Embedded, tmp_path: Path) -> None:
    address = link(embedded.api, embedded.home, "/deployments")
    with browser(tmp_path / "first") as first:
        first.get(address)
        _shows(first, "water-dimer")
        first.get(address)  # already logged in
        _shows(first, "water-dimer")
    with browser(tmp_path / "second") as second:
        second.get(address)
        _shows(second, "This link was used already", "spotwave open")


def test_machine_text_runs_no_script_and_loads_nothing(
    embedded: Embedded, client: SyncPrefectClient, chromium: Chrome, elsewhere: OtherServer
) -> None:
    """Even if a sanitiser fails, the pages load nothing from other servers and run no scripts of texts."""
    there = f"http://localhost:{elsewhere.port}"
    text = (
        f"before ![]({there}/picture) <img src={there}/tag onerror='document.title=\"run\"'> "
        "[click](javascript:document.title='run') <script>document.title='run'</script> after"
    )
    artifact = client.create_artifact(ArtifactCreate(key="node-hostile", type="markdown", data=text))
    elsewhere.requests.clear()
    chromium.get(f"{embedded.api.url.removesuffix('/api')}/artifacts/artifact/{artifact.id}")
    _shows(chromium, "before", "after")
    for element in chromium.find_elements(By.LINK_TEXT, "click"):
        element.click()
    assert chromium.title != "run"
    assert [one["path"] for one in elsewhere.requests] == []
