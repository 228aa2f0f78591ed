"""A small server on loopback that speaks the file protocol of the Hugging Face hub, and its faults.

What it answers is what huggingface_hub 2.4 and datasets 5.2 ask: the description of a repository at
a revision, whether its files are open, its tree, paths of it, and files with HEAD, GET and ranges.
Large files (Parquet, weights) are redirected to another host, as the hub does it. Xet is offered
for them too, which is not to be taken: it would fail here.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import huggingface_hub
import pytest

TOKEN = "hf_open_sesame"  # noqa: S105
LARGE = (".parquet", ".safetensors")


@dataclass
class Repository:
    """Files at each commit, and what each branch or tag points to."""

    commits: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool = False

    def commit(self, files: Mapping[str, bytes], *refs: str) -> str:
        """Add a commit, let `main` and the other refs point to it, and return its hash."""
        content = repr(sorted((name, digest(data)) for name, data in files.items()))
        name = hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()
        self.commits[name] = files
        self.refs |= dict.fromkeys(("main", *refs), name)
        return name


@dataclass
class Trouble:
    """What happens instead of an answer to the next `times` requests that match `pattern`.

    `kind` is `drop` (half a file, then the connection is closed), `hang` (half a file, then
    nothing), `stall` (no answer at all), or a status.
    """

    pattern: str
    kind: str | int
    times: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What was asked: `GET /path`, the range, and the client's own description."""

    line: str
    range: str | None
    agent: str


class HubServer:
    """The server; a context manager that ends it."""

    def __init__(self) -> None:
        self.datasets: dict[str, Repository] = {}
        self.models: dict[str, Repository] = {}
        self.requests: list[Request] = []
        self.troubles: list[Trouble] = []
        self.over = threading.Event()
        self.lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> HubServer:
        threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._http.shutdown()
        self._http.server_close()

    def dataset(self, name: str, files: Mapping[str, bytes], *refs: str) -> str:
        """Add a commit to a data set and return its hash."""
        return self.datasets.setdefault(name, Repository()).commit(files, *refs)

    def model(self, name: str, files: Mapping[str, bytes], *refs: str) -> str:
        """Add a commit to a model and return its hash."""
        return self.models.setdefault(name, Repository()).commit(files, *refs)

    def trouble(self, pattern: str, kind: str | int, times: int = 1, **headers: str) -> None:
        """Answer the next `times` requests that match `pattern` with a fault."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.troubles.append(Trouble(pattern, kind, times, named))

    def asked(self, pattern: str) -> list[Request]:
        """Return the requests so far that match `pattern`."""
        return [each for each in self.requests if re.search(pattern, each.line)]

    def next_trouble(self, line: str) -> Trouble | None:
        """Return the fault that a request meets, which is then used up."""
        with self.lock:
            for each in self.troubles:
                if each.times and re.search(each.pattern, line):
                    each.times -= 1
                    return each
        return None

    def blob(self, name: str) -> bytes | None:
        """Return the content of a hash."""
        repositories = [*self.datasets.values(), *self.models.values()]
        every = (f for each in repositories for files in each.commits.values() for f in [files])
        return next((d for files in every for d in files.values() if digest(d) == name), None)


def point_client(hub: HubServer, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Point the hub's client at the server, with a cache of its own below `folder`, and no waits.

    Its settings are read from the environment at import, so they are set where they are kept.
    """
    for name, value in {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_URL_HOSTS": frozenset({"127.0.0.1"}),
        "HF_HUB_CACHE": str(folder / "hub"),
        "HF_TOKEN_PATH": str(folder / "token"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_ETAG_TIMEOUT": 1,
        "HF_HUB_DOWNLOAD_TIMEOUT": 1,
    }.items():
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def digest(data: bytes) -> str:
    """Return the SHA-256, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        server_of_hub = hub

    return Handler


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server_of_hub: HubServer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_CONNECT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub, line = self.server_of_hub, f"{self.command} {unquote(self.path)}"
        self.form = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        agent = self.headers.get("User-Agent", "")
        hub.requests.append(Request(line, self.headers.get("Range"), agent))
        trouble = hub.next_trouble(line)
        self.ends = trouble.kind if trouble is not None else ""
        if trouble is not None and trouble.kind == "stall":
            hub.over.wait(60)
            self.close_connection = True
            return
        if trouble is not None and isinstance(trouble.kind, int):
            self._send(trouble.kind, b"in trouble", trouble.headers)
            return
        path = urlsplit(self.path).path
        if found := re.fullmatch(r"/cdn/(\w+)", path):
            self._file(hub.blob(found[1]), {"ETag": f'"{found[1]}"'})
        elif found := re.fullmatch(r"/api/(datasets|models)/([^/]+/[^/]+)(?:/(.*))?", path):
            self._api(getattr(hub, found[1]).get(found[2]), found[2], unquote(found[3] or ""))
        elif found := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            kind = hub.datasets if found[1] else hub.models
            self._resolve(kind.get(found[2]), unquote(found[3]), unquote(found[4]))
        else:
            self._send(404, b"no such page")

    def _api(self, repository: Repository | None, name: str, what: str) -> None:
        if repository is None:
            self._refuse(404, "RepoNotFound")
            return
        action, _, rest = what.partition("/")
        if action == "auth-check":
            self._refuse(403, "GatedRepo") if self._is_closed(repository) else self._json({})
            return
        revision, _, path = rest.partition("/")
        if action == "revision":
            revision = rest
        commit = repository.refs.get(revision or "main", revision)
        if commit not in repository.commits:
            self._refuse(404, "RevisionNotFound")
            return
        files = repository.commits[commit]
        if action in ("", "revision"):
            self._json(_description(name, commit, files, gated=repository.gated))
        elif action == "tree":
            asked = parse_qs(urlsplit(self.path).query)
            found = _tree(files, path, recursive=asked.get("recursive", [""])[0].lower() == "true")
            self._json(found) if found else self._refuse(404, "EntryNotFound")
        elif action == "paths-info":
            every = {each["path"]: each for each in _tree(files, "", recursive=True)}
            self._json([every[each] for each in parse_qs(self.form)["paths"] if each in every])

    def _resolve(self, repository: Repository | None, revision: str, path: str) -> None:
        if repository is None:
            self._refuse(404, "RepoNotFound")
            return
        commit = repository.refs.get(revision, revision)
        if commit not in repository.commits:
            self._refuse(404, "RevisionNotFound")
            return
        if self._is_closed(repository):
            self._refuse(401, "GatedRepo")
            return
        data = repository.commits[commit].get(path)
        if data is None:
            self._refuse(404, "EntryNotFound", commit)
            return
        name = digest(data)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{name}"'}
        if PurePosixPath(path).suffix in LARGE:
            headers |= {"X-Linked-ETag": f'"{name}"', "X-Linked-Size": str(len(data))}
            headers |= {"X-Xet-Hash": name, "X-Xet-Refresh-Route": f"{self.server_of_hub.url}/xet"}
            headers["Location"] = f"http://localhost:{self.server_of_hub.port}/cdn/{name}"
            self._send(302, b"", headers)
        else:
            self._file(data, headers)

    def _file(self, data: bytes | None, headers: Mapping[str, str]) -> None:
        if data is None:
            self._send(404, b"no such file")
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            self._send(200, data, headers)
            return
        start, end = int(asked[1]), int(asked[2] or len(data) - 1)
        part = data[start : end + 1]
        about = {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(data)}"}
        self._send(206, part, {**headers, **about})

    def _is_closed(self, repository: Repository) -> bool:
        return repository.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}"

    def _json(self, content: Any) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, code: str, commit: str = "") -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": code}
        self._send(status, b"", headers | ({"X-Repo-Commit": commit} if commit else {}))

    def _send(self, status: int, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.ends in ("drop", "hang"):
            data, self.close_connection = data[: len(data) // 2], True
        self.wfile.write(data)
        if self.ends == "hang":
            self.server_of_hub.over.wait(60)


def _description(
    name: str, commit: str, files: Mapping[str, bytes], *, gated: bool
) -> dict[str, object]:
    return {
        "_id": "0",
        "id": name,
        "author": name.split("/", maxsplit=1)[0],
        "sha": commit,
        "private": False,
        "disabled": False,
        "gated": "auto" if gated else False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": [{"rfilename": path} for path in sorted(files)],
    }


def _tree(files: Mapping[str, bytes], below: str, *, recursive: bool) -> list[dict[str, Any]]:
    """Return the files and folders beneath a folder, or a file itself."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(files):
        parents = [str(each) for each in PurePosixPath(path).parents if str(each) != "."]
        for folder in reversed(parents):
            found.setdefault(folder, {"type": "directory", "oid": "0", "size": 0, "path": folder})
        name, size = digest(files[path]), len(files[path])
        found[path] = {"type": "file", "oid": name[:40], "size": size, "path": path}
        if PurePosixPath(path).suffix in LARGE:
            found[path]["lfs"] = {"oid": name, "size": size, "pointerSize": 130}
            found[path]["xetHash"] = name
    prefix = f"{below}/" if below else ""
    return [
        each
        for path, each in found.items()
        if path.startswith(prefix) and (recursive or "/" not in path[len(prefix) :])
    ]
