from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file

from microexpr import api
from microexpr.core import pretrained
from refusal import refuses

TAG = "poolformer_m36.sail_in1k"
OTHER = "vit_base_patch32_224.augreg_in21k_ft_in1k"
TENSORS = {"stem.conv.weight": torch.arange(30000.0), "stem.conv.bias": torch.ones(3)}
CONTENT = save(TENSORS)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """A stand-in for the hub on loopback: what it sends, and what it promises."""

    content: bytes = CONTENT
    sha256: str = hashlib.sha256(CONTENT).hexdigest()
    size: int = len(CONTENT)
    breaks_after: int | None = None
    """Bytes after which the first download's connection is cut."""
    asked: list[str] = field(default_factory=list)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MICROEXPR_WEIGHTS", str(tmp_path / "weights"))
    # A closed port: a test that forgets its server fails at once instead of asking the network.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    return tmp_path / "weights"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            state.asked.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())
            if self.path.split("/")[1:4:2] != ["timm", "resolve"] or not self.path.endswith("/model.safetensors"):
                self.send_error(404)
                return
            start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(state.content) - 1}/{len(state.content)}")
            self.send_header("Content-Length", str(len(state.content) - start))
            self.send_header("ETag", '"of the storage"')
            self.send_header("X-Linked-Etag", f'"{state.sha256}"')
            self.send_header("X-Linked-Size", str(state.size))
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if body:
                end, state.breaks_after = state.breaks_after, None
                self.wfile.write(state.content[start:end])
                self.close_connection = end is not None

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield state
        server.shutdown()
        thread.join()


def leftovers(folder: Path) -> list[str]:
    return [
        path.name for path in folder.iterdir() if path.name.startswith(".fetching") or path.name.endswith(".partial")
    ]


# --- the hub ----------------------------------------------------------------------------------------------------------
def test_a_fetched_file_is_listed_checked_and_not_fetched_again(hub: Hub, cache: Path) -> None:
    stated: list[tuple[str, int, int]] = []
    (path,) = pretrained.fetch([TAG], progress=lambda *note: stated.append(note))
    assert path == cache / f"{TAG}.safetensors" == pretrained.locate(TAG)
    assert torch.equal(pretrained.load(path)["stem.conv.weight"], TENSORS["stem.conv.weight"])
    entry = json.loads((cache / "weights.json").read_text())[TAG]
    assert entry["hub"] == f"timm/{TAG}"
    assert (entry["size"], entry["sha256"]) == (len(CONTENT), hub.sha256)
    assert entry["source"].endswith(f"@{COMMIT}")
    assert stated[-1] == (TAG, len(CONTENT), len(CONTENT))
    asked = len(hub.asked)
    assert pretrained.fetch([TAG]) == [path]
    assert len(hub.asked) == asked
    assert not leftovers(cache)


def test_a_fetch_tells_how_far_it_is(hub: Hub, cache: Path) -> None:
    class Told:
        def __init__(self) -> None:
            self.bars: list[tuple[str, int]] = []
            self.steps: list[int] = []

        def start(self, text: str, total: int) -> None:
            self.bars.append((text, total))
            self.steps.append(0)

        def step(self, note: str = "") -> None:
            self.steps[-1 if len(self.steps) > 1 else 0] += 1

        def stop(self) -> None:
            pass

    stated = Told()
    assert api.fetch_weights([TAG], stated) == [cache / f"{TAG}.safetensors"]
    assert stated.bars == [("weights", 1), (f"percent of {TAG}", 100)]
    assert stated.steps[1] >= 100


def test_nothing_is_printed(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    pretrained.fetch([TAG])
    assert capfd.readouterr() == ("", "")


def test_the_hub_tells_the_sha256_without_a_download(hub: Hub, cache: Path) -> None:
    assert pretrained.expected(TAG).sha256 == hub.sha256
    assert all(line.startswith("HEAD") for line in hub.asked)
    assert not cache.exists()


def test_a_file_that_is_not_what_was_promised_is_not_kept(hub: Hub, cache: Path) -> None:
    hub.content = hub.content[:-4] + b"evil"
    with refuses("E502", TAG):
        pretrained.fetch([TAG])
    assert not list(cache.glob("*.safetensors"))
    assert not leftovers(cache)
    with refuses("E501", TAG):
        pretrained.locate(TAG)


def test_a_short_file_is_not_kept(hub: Hub, cache: Path) -> None:
    hub.content = hub.content[:1000]
    with refuses("E506", TAG):
        pretrained.fetch([TAG])
    assert not list(cache.glob("*.safetensors"))
    assert not leftovers(cache)


def test_a_broken_connection_is_resumed(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 10000)
    hub.breaks_after = 70000
    assert pretrained.fetch([TAG])[0].read_bytes() == CONTENT
    assert hub.asked[-1].endswith("bytes=70000-")


@pytest.mark.parametrize("tag", [TAG, OTHER])
def test_without_a_hub_the_error_is_a_sentence_that_says_the_way(tag: str) -> None:
    with refuses("E506", tag, "http", "weights bundle") as caught:
        pretrained.fetch([tag])
    assert "\n" not in str(caught.value)


def test_a_hub_that_promises_no_sha256_is_not_trusted(hub: Hub) -> None:
    hub.sha256 = "some-etag"
    with refuses("E507", TAG):
        pretrained.fetch([TAG])


def test_an_unknown_repository_is_a_sentence(hub: Hub) -> None:
    with refuses("E508", "'../../etc/passwd'"):
        pretrained.fetch(["../../etc/passwd"])


# --- the folder -------------------------------------------------------------------------------------------------------
def test_missing_weights_say_all_ways_on() -> None:
    ways = (f"weights fetch {TAG}", 'weights = "hub"', "weights bundle", ".safetensors", 'weights = "random"')
    with refuses("E501", *ways):
        pretrained.locate(TAG)


def test_damage_is_found_before_use(hub: Hub, cache: Path) -> None:
    pretrained.fetch([TAG, OTHER])
    assert pretrained.verify() == [(TAG, "good"), (OTHER, "good")]
    (cache / f"{TAG}.safetensors").write_bytes(CONTENT[:-1] + b"?")
    (cache / f"{OTHER}.safetensors").unlink()
    assert pretrained.verify() == [(TAG, "its sha256 differs"), (OTHER, "missing")]
    with refuses("E502", TAG, "sha256"):
        pretrained.locate(TAG)
    assert pretrained.fetch([TAG])[0].read_bytes() == CONTENT
    (cache / f"{TAG}.safetensors").write_bytes(CONTENT[:-1])
    with refuses("E502", TAG, f"{len(CONTENT) - 1} bytes", len(CONTENT)):
        pretrained.locate(TAG)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_a_sentence(hub: Hub, cache: Path) -> None:
    cache.mkdir(mode=0o500)
    with refuses("E509", cache, "MICROEXPR_WEIGHTS"):
        pretrained.fetch([TAG])


def test_a_folder_that_is_a_file_is_a_sentence(hub: Hub, cache: Path) -> None:
    cache.write_text("")
    with refuses("E509", cache, "MICROEXPR_WEIGHTS"):
        pretrained.fetch([TAG])


def test_an_unreadable_list_is_a_sentence(cache: Path) -> None:
    cache.mkdir()
    (cache / "weights.json").write_text("[1, 2")
    with refuses("E511", "weights.json"):
        pretrained.verify()


def test_only_safetensors_are_read(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "model.pt")
    with refuses("E503", "model.pt", "safetensors"):
        pretrained.load(tmp_path / "model.pt")
    (tmp_path / "pickle.safetensors").write_bytes((tmp_path / "model.pt").read_bytes())
    with refuses("E502", "pickle.safetensors"):
        pretrained.load(tmp_path / "pickle.safetensors")
    with refuses("E504", "absent.safetensors"):
        pretrained.load(tmp_path / "absent.safetensors")
    save_file(TENSORS, tmp_path / "good.safetensors")
    assert set(pretrained.load(tmp_path / "good.safetensors")) == set(TENSORS)


# --- bundles ----------------------------------------------------------------------------------------------------------
def test_a_bundle_carries_weights_to_a_machine_without_network(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrained.fetch([TAG, OTHER])
    first = pretrained.bundle(tmp_path / "weights.tar", [OTHER, TAG]).read_bytes()
    assert pretrained.bundle(tmp_path / "again.tar", [TAG, OTHER]).read_bytes() == first
    monkeypatch.setenv("MICROEXPR_WEIGHTS", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert pretrained.unbundle(tmp_path / "weights.tar") == (TAG, OTHER)
    assert pretrained.locate(TAG).read_bytes() == CONTENT
    assert pretrained.index()[TAG].source == "bundle weights.tar"
    assert not leftovers(tmp_path / "elsewhere")


def test_only_what_is_at_hand_can_be_bundled(tmp_path: Path) -> None:
    with refuses("E501", TAG):
        pretrained.bundle(tmp_path / "weights.tar", [TAG])
    assert not (tmp_path / "weights.tar").exists()


def tar(path: Path, **files: bytes) -> Path:
    with tarfile.open(path, "w") as out:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
    return path


def listing(tag: str, sha256: str = hashlib.sha256(CONTENT).hexdigest(), size: int = len(CONTENT)) -> bytes:
    return json.dumps({tag: {"hub": f"timm/{tag}", "size": size, "sha256": sha256, "source": ""}}).encode()


@pytest.mark.parametrize(
    ("listed", "members", "code", "named"),
    [
        (listing("../escaped"), {"../escaped.safetensors": CONTENT}, "E508", "'../escaped'"),
        (listing("/tmp/escaped"), {"/tmp/escaped.safetensors": CONTENT}, "E508", "'/tmp/escaped'"),
        (listing(TAG, sha256="0" * 64), {f"{TAG}.safetensors": CONTENT}, "E502", TAG),
        (listing(TAG, size=10), {f"{TAG}.safetensors": CONTENT}, "E502", TAG),
        (listing(TAG), {}, "E510", f"{TAG}.safetensors"),
        (b"nonsense", {}, "E511", "bad.tar"),
        (json.dumps({TAG: {"size": 1}}).encode(), {}, "E511", "bad.tar"),
    ],
)
def test_a_bad_bundle_leaves_nothing(
    tmp_path: Path, cache: Path, listed: bytes, members: dict[str, bytes], code: str, named: str
) -> None:
    bundle = tar(tmp_path / "bad.tar", **{"weights.json": listed, **members})
    with refuses(code, named):
        pretrained.unbundle(bundle)
    assert not list(tmp_path.rglob("*.safetensors"))
    assert pretrained.index() == {}
    assert not cache.exists() or not leftovers(cache)


def test_members_that_no_entry_names_and_links_are_never_written(tmp_path: Path, cache: Path) -> None:
    bundle = tar(
        tmp_path / "odd.tar", **{"weights.json": listing(TAG), f"{TAG}.safetensors": CONTENT, "../evil": b"evil"}
    )
    assert pretrained.unbundle(bundle) == (TAG,)
    assert not (tmp_path / "evil").exists()
    with tarfile.open(tmp_path / "link.tar", "w") as out:
        head = tarfile.TarInfo("weights.json")
        head.size = len(listing(OTHER))
        out.addfile(head, io.BytesIO(listing(OTHER)))
        link = tarfile.TarInfo(f"{OTHER}.safetensors")
        link.type, link.linkname = tarfile.SYMTYPE, f"{TAG}.safetensors"
        out.addfile(link)
    with refuses("E510", "link.tar", f"{OTHER}.safetensors"):
        pretrained.unbundle(tmp_path / "link.tar")


def test_a_file_that_is_no_bundle_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.tar").write_bytes(b"hello" * 500)
    for path in (tmp_path / "text.tar", tmp_path / "absent.tar"):
        with refuses("E510", path):
            pretrained.unbundle(path)
