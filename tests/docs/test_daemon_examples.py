"""The example of every built-in action, defined and run through a real daemon by the command line."""

from __future__ import annotations

import contextlib
import http.server
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opcode_runtime.cli import main
from tests.cli.conftest import daemon_on

from .test_action_examples import FOLDER, OUTPUTS, example

ANSWERS: dict[str, tuple[int, Any]] = {
    "/page": (200, {"title": "A page"}),
    "/orders": (201, {"order": 7}),
    "/orders/7": (204, None),
}


class Outside(http.server.BaseHTTPRequestHandler):
    """What the examples of http.* talk to."""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, value = ANSWERS[self.path.partition("?")[0]]
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if body:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - names of the library

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as in the library
        """Say nothing."""


@contextlib.contextmanager
def outside() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Outside) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def opcode(home: Path, *words: str) -> Any:
    """The JSON that a command answers, run in this process against the daemon."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*words, "--json", "--data-dir", str(home)])
    assert code == 0, err.getvalue() + out.getvalue()
    return json.loads(out.getvalue())


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, str]]:
    """A daemon that has all examples: its data directory, its one writable root, the address of the outside."""
    top = tmp_path_factory.mktemp("examples")
    home, work = top / "home", top / "work"
    home.mkdir(mode=0o700)
    work.mkdir()
    settings = {"writable_paths": [str(work)], "allow_private": True}
    (home / "settings.json").write_text(json.dumps(settings))
    with outside() as url, daemon_on(home):
        for action in OUTPUTS:
            answer = opcode(home, "define", str(FOLDER / f"{action}.json"))
            assert answer["warnings"] == []
        yield home, work, url


@pytest.mark.parametrize("action", OUTPUTS)
def test_an_example_runs_through_the_daemon(action: str, ready: tuple[Path, Path, str]) -> None:
    home, work, url = ready
    document = example(action)
    takes_url = "url" in document.get("input_schema", {}).get("properties", {})
    params = json.dumps({"url": url} if takes_url else {})
    answer = opcode(home, "run", document["name"], "--params", params)
    assert (answer["status"], answer["output"]) == ("completed", OUTPUTS[action])
    assert list(work.iterdir()) == []
