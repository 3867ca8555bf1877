"""A stand-in for the Hugging Face Hub on this machine: what its clients ask to put models there and to fetch them.

Of a data set it answers what the package datasets asks to read it, of a model card what proposes a change of it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import unquote, urlsplit

Fault = Literal["", "broken off", "server error", "another commit", "other bytes"]

TOKEN = "hf_standing_in"
LARGE = (".safetensors", ".bin", ".msgpack", ".h5", ".pt")
"""How the names of files end that are put apart from the commit, as Git LFS does."""


@dataclass(slots=True)
class Repository:
    """commits: from old to new, the id of each and its files. private: fetched with the token alone.

    proposed: what would be its files, of each pull request.
    """

    commits: list[tuple[str, Mapping[str, bytes]]] = field(default_factory=list)
    private: bool = False
    proposed: list[Mapping[str, bytes]] = field(default_factory=list)

    def commit(self, files: Mapping[str, bytes]) -> str:
        """The id of a new commit with these files, which is made of them and of the one before."""
        before = self.commits[-1][0] if self.commits else ""
        told = [before, *(f"{name} {_sha1(held)}" for name, held in sorted(files.items()))]
        oid = hashlib.sha1("\n".join(told).encode()).hexdigest()
        self.commits.append((oid, dict(files)))
        return oid

    def at(self, revision: str) -> tuple[str, Mapping[str, bytes]] | None:
        """The commit of that id, or the newest for `main`."""
        if revision == "main":
            return self.commits[-1]
        return next((each for each in self.commits if each[0] == revision), None)


class Hub:
    """A server at `endpoint` while open. It holds what it is given in memory.

    repositories: `owner/name`, or `datasets/owner/name` -> what it holds. asked: every request, `METHOD path`.
    fault: what it does wrong with files whose name ends as in `LARGE`: breaks off in the middle, answers 500, gives
    the files of the commit before and says that they are of the one asked for, or changes a byte. busy: how many
    commits it refuses first, as where another is under way.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.fault: Fault = ""
        self.busy = 0
        self.lock = threading.Lock()
        hub = self

        class Answers(_Answers):
            pass

        Answers.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def log_message(self, *arguments: Any) -> None:
        """Nothing is written."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path).lstrip("/")
        self.hub.asked.append(f"{self.command} /{path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.command in ("POST", "PUT") and not path.startswith("blobs/") and not self._known():
            return self._send(401, {"error": "a token is needed"})
        match [*path.split("/")]:
            case ["api", "validate-yaml"]:
                return self._send(200, {"errors": [], "warnings": []})
            case ["api", "whoami-v2"]:
                return self._send(200, {"type": "user", "name": "owner", "orgs": []})
            case ["api", "repos", "create"]:
                return self._create(json.loads(body))
            case ["api", "models", owner, name, *rest]:
                return self._api(f"{owner}/{name}", rest, body)
            case ["api", "datasets", owner, name, *rest]:
                return self._api(f"datasets/{owner}/{name}", rest, body)
            case [owner, name, "info", "lfs", "objects", "batch"] if name.endswith(".git"):
                return self._batch(json.loads(body))
            case ["blobs", oid] if self.command == "PUT":
                if hashlib.sha256(body).hexdigest() != oid:
                    return self._send(400, {"error": "the bytes are not those of the name"})
                self.hub.blobs[oid] = body
                return self._send(200, {})
            case ["datasets", owner, name, "resolve", revision, *file]:
                return self._file(f"datasets/{owner}/{name}", revision, "/".join(file))
            case [owner, name, "resolve", revision, *file]:
                return self._file(f"{owner}/{name}", revision, "/".join(file))
        return self._send(404, {"error": f"the stand-in does not know {path}"})

    def _create(self, asked: Mapping[str, Any]) -> None:
        kind = "datasets/" if asked.get("type") == "dataset" else ""
        name = f"{kind}{asked.get('organization') or 'owner'}/{asked['name']}"
        with self.hub.lock:
            if name in self.hub.repositories:
                return self._send(409, {"error": "there is one already", "url": f"{self.hub.endpoint}/{name}"})
            made = Repository(private=bool(asked.get("private")))
            made.commit({})
            self.hub.repositories[name] = made
        return self._send(200, {"url": f"{self.hub.endpoint}/{name}", "name": name, "id": name})

    def _api(self, name: str, rest: list[str], body: bytes) -> None:
        held = self._repository(name)
        if held is None:
            return None
        match rest:
            case ["preupload", _]:
                files = json.loads(body)["files"]
                told = [
                    {
                        "path": file["path"],
                        "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                        "shouldIgnore": False,
                    }
                    for file in files
                ]
                return self._send(200, {"files": told})
            case ["commit", "main"]:
                with self.hub.lock:
                    return self._commit(name, held, body)
            case ["tree", revision, *_]:
                found = held.at(revision)
                files = sorted(found[1].items()) if found else []
                listed = [{"type": "file", "path": path, "size": len(held), "oid": _sha1(held)} for path, held in files]
                return self._send(200, listed)
            case [] | ["revision", _]:
                found = held.at(rest[1] if rest else "main")
                if found is None:
                    return self._send(404, {"error": "no such revision"}, {"X-Error-Code": "RevisionNotFound"})
                siblings = [{"rfilename": path} for path in sorted(found[1])]
                about = {"id": name, "modelId": name, "sha": found[0], "private": held.private, "siblings": siblings}
                return self._send(200, {**about, "tags": [], "downloads": 0, "likes": 0})
        return self._send(404, {"error": "the stand-in does not know that"})

    def _commit(self, name: str, held: Repository, body: bytes) -> None:
        if self.hub.busy:
            self.hub.busy -= 1
            return self._send(412, {"error": "A commit has happened since. Please refresh and try again."})
        files = dict(held.commits[-1][1])
        for line in body.splitlines():
            told = json.loads(line)
            value = told["value"]
            if told["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif told["key"] == "lfsFile":
                if value["oid"] not in self.hub.blobs:
                    return self._send(422, {"error": f"{value['path']} was not uploaded"})
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif told["key"] == "deletedFile":
                files.pop(value["path"], None)
        told = {"hookOutput": "", "success": True}
        if "create_pr=1" in urlsplit(self.path).query:
            held.proposed.append(files)
            told["pullRequestUrl"] = f"{self.hub.endpoint}/{name}/discussions/{len(held.proposed)}"
            oid = _sha1(repr(sorted(files.items())).encode())
        else:
            oid = held.commit(files)
        told |= {"commitUrl": f"{self.hub.endpoint}/{name}/commit/{oid}", "commitOid": oid}
        return self._send(200, told)

    def _batch(self, asked: Mapping[str, Any]) -> None:
        objects = [
            {
                "oid": each["oid"],
                "size": each["size"],
                "actions": {"upload": {"href": f"{self.hub.endpoint}/blobs/{each['oid']}", "header": {}}},
            }
            for each in asked["objects"]
        ]
        self._send(200, {"transfer": "basic", "objects": objects})

    def _file(self, name: str, revision: str, path: str) -> None:
        held = self._repository(name)
        found = held.at(revision) if held is not None else None
        if held is None:
            return None
        if found is None:
            return self._send(404, {"error": "no such revision"}, {"X-Error-Code": "RevisionNotFound"})
        commit, files = found
        told = {"X-Repo-Commit": commit}
        if path not in files:
            return self._send(404, {"error": "no such file"}, {**told, "X-Error-Code": "EntryNotFound"})
        content, fault = files[path], self.hub.fault if path.endswith(LARGE) else ""
        if fault == "server error":
            return self._send(500, {"error": "the server is out of order"})
        if fault == "another commit":
            content = held.commits[[oid for oid, _ in held.commits].index(commit) - 1][1][path]
        if fault == "other bytes":
            content = content[:-1] + bytes([content[-1] ^ 1])
        large = path.endswith(LARGE)
        told["ETag"] = f'"{hashlib.sha256(content).hexdigest() if large else _sha1(content)}"'
        return self._bytes(content, told, part=fault == "broken off")

    def _bytes(self, content: bytes, headers: Mapping[str, str], *, part: bool) -> None:
        """The content, from where the client has it already; where only a part is sent, the connection is closed."""
        begin = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if begin else 200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[begin : begin + len(content) // 2] if part else content[begin:])
            self.close_connection = self.close_connection or part

    def _repository(self, name: str) -> Repository | None:
        """The repository if the client may see it; else it is told that there is none."""
        held = self.hub.repositories.get(name)
        if held is None or (held.private and not self._known()):
            self._send(404, {"error": "Repository Not Found"}, {"X-Error-Code": "RepoNotFound"})
            return None
        return held

    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _send(self, status: int, told: Any, headers: Mapping[str, str] | None = None) -> None:
        content = json.dumps(told).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
