"""A stand-in for the Hugging Face hub on this machine: the real client talks to it as it talks to the hub."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import datasets
import huggingface_hub
import pytest

from rlgen.files import digest

COMMIT = "c0ffee" + "0" * 34
OTHER = "decade" + "0" * 34
REFUSALS = {  # repository -> status and code, as the hub sends them
    "acme/gated": (403, "GatedRepo"),
    "acme/nowhere": (401, "RepoNotFound"),
    "acme/broken": (500, ""),
}


class Hub:
    """Repositories by name, each a folder at one commit; `asked` are the paths of all requests."""

    def __init__(self, **folders: Path) -> None:
        self.folders = {f"acme/{name}": folder for name, folder in folders.items()}
        self.asked: list[str] = []

    def weights_asked(self) -> list[str]:
        """Requests for files with weights."""
        return [path for path in self.asked if "/resolve/" in path and path.endswith(".safetensors")]


@contextmanager
def serving(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """While the context lasts, this process' hub is `hub`, online, with an own cache."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    constants = huggingface_hub.constants
    with monkeypatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", url)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr(datasets.config, "HF_ENDPOINT", url)
        patch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        path = self.path.partition("?")[0].strip("/")
        for kind in ("api/models/", "api/datasets/", "datasets/"):
            path = path.removeprefix(kind)
        self.hub.asked.append(path)
        owner, name, verb, revision, file = [*path.split("/", 4), "", "", "", ""][:5]
        repository, verb, revision = f"{owner}/{name}", verb or "revision", revision or COMMIT
        status, code = REFUSALS.get(repository, (200, ""))
        if repository in self.hub.folders and verb != "resolve":
            status, code = 200, ""  # of a gated repository everyone may see the list of files
        if status == 200 and repository not in self.hub.folders:
            status, code = 404, "RepoNotFound"
        if status == 200 and revision != COMMIT:
            status, code = 404, "RevisionNotFound"
        folder = self.hub.folders.get(repository, Path())
        if status == 200 and verb == "resolve" and not (folder / file).is_file():
            status, code = 404, "EntryNotFound"
        if status != 200:
            self.send(status, b"", {"X-Error-Code": code}, body)
        elif verb == "resolve":
            data = (folder / file).read_bytes()
            self.send(200, data, {"ETag": f'"{digest(data)}"', "X-Repo-Commit": COMMIT}, body)
        else:
            files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
            siblings = [{"rfilename": name, "size": len(data)} for name, data in files.items()]
            tree = [{"type": "file", "path": n, "size": len(d), "oid": digest(d)[:40]} for n, d in files.items()]
            content = {"id": repository, "sha": COMMIT, "siblings": siblings} if verb == "revision" else tree
            self.send(200, json.dumps(content).encode(), {"Content-Type": "application/json"}, body)

    def send(self, status: int, data: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)
