"""Pretrained weights: downloaded from timm's hub on request, verified by sha256, bundled for machines offline.

The folder ``$MICROEXPR_WEIGHTS`` (default ``~/.cache/microexpr/weights``) holds ``<tag>.safetensors``, where a tag is
timm's name of a set of weights, and ``weights.json``, which lists source, size and sha256 of each. Nothing is
unpickled, so that no file can run code.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microexpr.core.errors import NoWeightsError, WeightsError
from microexpr.core.files import replacing

if TYPE_CHECKING:
    import torch

BLOCK = 1 << 20
INDEX = "weights.json"
OWNER = "timm"
"""Account on the hub under which timm publishes its weights."""

ProgressCallback = Callable[[str, int, int], None]
"""Called during a download with the tag, the bytes received so far and the total."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of weights: its repository on the hub, size in bytes, sha256, and how it got into this folder."""

    hub: str
    size: int
    sha256: str
    source: str


def folder() -> Path:
    """Return the folder of weights, which need not exist."""
    root = os.environ.get("MICROEXPR_WEIGHTS")
    return Path(root).expanduser() if root else Path.home() / ".cache" / "microexpr" / "weights"


def local(name: str | Path) -> Path:
    """Return a file given by the user; raises WeightsError if it does not exist or is not a .safetensors file."""
    path = Path(name).expanduser()
    if path.suffix != ".safetensors":
        raise WeightsError(
            "E503",
            f"{str(name)!r} is not a .safetensors file. Other formats can run code when they are loaded, so they are "
            "not accepted; if you trust the file, convert it with safetensors.torch.save_file.",
        )
    if not path.is_file():
        raise WeightsError("E504", f"{path} does not exist. Correct the path of the weights.")
    return path


def load(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file; raises WeightsError for any other file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(local(path)))
    except (OSError, SafetensorError) as error:
        raise WeightsError("E502", f"{path} cannot be read as safetensors: {error}. Get the file again.") from None


def sha256(path: Path) -> str:
    """Return a file's sha256, cached until its size or modification time changes."""
    try:
        metadata = path.stat()
    except OSError as error:
        raise WeightsError(
            "E504", f"{path} cannot be read: {error.strerror}. Correct the path or the permissions of the file."
        ) from None
    return _sha256(path, metadata.st_size, metadata.st_mtime_ns)


def index() -> dict[str, Entry]:
    """Return what the folder's ``weights.json`` lists."""
    path = folder() / INDEX
    return _entries(path.read_bytes(), path) if path.is_file() else {}


def locate(tag: str) -> Path:
    """Return the file of a tag after checking size and sha256; raises WeightsError that says how to get it."""
    state = _state(tag, index().get(tag))
    if state == "missing":
        raise NoWeightsError(
            "E501",
            f"the weights {tag} are not in {folder()}. With a network connection run `microexpr weights fetch {tag}` "
            '(or set weights = "hub"). Otherwise run `microexpr weights bundle` on another machine and `microexpr '
            'weights unbundle` here, give a local file (weights = "/path/x.safetensors"), or train from scratch '
            '(weights = "random").',
        )
    if state != "good":
        raise WeightsError(
            "E502", f"{_path(tag)} is damaged ({state}). Run `microexpr weights fetch {tag}` or unbundle it again."
        )
    return _path(tag)


def verify() -> list[tuple[str, str]]:
    """Return every tag of the folder, and ``good``, ``missing`` or what is wrong with its file."""
    return [(tag, _state(tag, entry)) for tag, entry in sorted(index().items())]


def expected(tag: str) -> Entry:
    """Return the entry of an undamaged local file, otherwise the hub's (one small request; nothing is downloaded)."""
    entry = index().get(tag)
    return entry if entry and _state(tag, entry) == "good" else _promise(tag)[0]


def fetch(tags: Iterable[str], progress: ProgressCallback | None = None) -> list[Path]:
    """Return the files of `tags`, downloading those that are missing or damaged.

    The hub is ``$HF_ENDPOINT`` or huggingface.co. Interrupted downloads are resumed. A file is moved into the folder
    only after its size and sha256 match those that the hub announced.
    """
    return [_path(tag) if _state(tag, index().get(tag)) == "good" else _fetch(tag, progress) for tag in tags]


def bundle(path: Path, tags: Iterable[str]) -> Path:
    """Write the files of `tags` and their entries to an uncompressed tar, for machines without a network."""
    files = {tag: locate(tag) for tag in sorted(set(tags))}
    entries = index()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_bundle(path, files, entries)
    except OSError as error:
        raise WeightsError("E509", f"{path} cannot be written: {error.strerror}. Choose another path.") from None
    return path


def _write_bundle(path: Path, files: Mapping[str, Path], entries: Mapping[str, Entry]) -> None:
    with replacing(path) as temporary, tarfile.open(temporary, "w") as tar:
        listed = _json({tag: entries[tag] for tag in files})
        head = tarfile.TarInfo(INDEX)
        head.size = len(listed)
        tar.addfile(head, BytesIO(listed))
        for file in files.values():
            member = tarfile.TarInfo(file.name)
            member.size = file.stat().st_size
            with file.open("rb") as source:
                tar.addfile(member, source)


def unbundle(path: Path) -> tuple[str, ...]:
    """Extract the weights of a bundle into the folder, verifying each, and return their tags."""
    _make_folder()
    try:
        with tarfile.open(path, "r:") as tar:
            members = {member.name: member for member in tar if member.isreg()}
            entries = _entries(_member(tar, members, INDEX, path).read(), path)
            # Members are looked up by the names of the entries: a name in the tar is never used as a path here.
            for tag, entry in entries.items():
                with replacing(_path(tag)) as temporary:
                    _copy(_member(tar, members, f"{tag}.safetensors", path), temporary, entry)
                    _check(temporary, entry, f"{tag} in {path}")
                _record(tag, Entry(entry.hub, entry.size, entry.sha256, f"bundle {path.name}"))
    except (OSError, tarfile.TarError) as error:
        raise WeightsError("E510", f"{path} cannot be read as a bundle of weights: {error}. Copy it again.") from None
    return tuple(entries)


# --- the hub ----------------------------------------------------------------------------------------------------------
@contextmanager
def _asking(tag: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever the HTTP client raises, which changed between releases of the library
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise WeightsError(
            "E506",
            f"{tag} could not be downloaded from {os.environ.get('HF_ENDPOINT') or 'huggingface.co'}: {reason[0]} "
            "Check the network and HF_ENDPOINT, or transfer a bundle made by `microexpr weights bundle` elsewhere.",
        ) from None


def _promise(tag: str) -> tuple[Entry, str]:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    _path(tag)
    # The endpoint is passed because the library reads HF_ENDPOINT only once, when it is imported.
    endpoint = os.environ.get("HF_ENDPOINT") or None
    hub = f"{OWNER}/{tag}"
    with _asking(tag):
        announced = get_hf_file_metadata(
            hf_hub_url(hub, "model.safetensors", endpoint=endpoint), token=False, endpoint=endpoint
        )
    if not (announced.size and announced.commit_hash and re.fullmatch("[0-9a-f]{64}", announced.etag or "")):
        raise WeightsError(
            "E507",
            f"the hub states no size or sha256 for {hub}, so a download could not be verified. Check HF_ENDPOINT, or "
            "transfer a bundle from another machine.",
        )
    source = f"{endpoint or 'https://huggingface.co'}@{announced.commit_hash}"
    return Entry(hub, announced.size, str(announced.etag), source), str(announced.commit_hash)


def _fetch(tag: str, progress: ProgressCallback | None) -> Path:
    from huggingface_hub import hf_hub_download

    entry, commit = _promise(tag)
    _make_folder()
    with tempfile.TemporaryDirectory(dir=folder(), prefix=".fetching-") as temporary:
        with _asking(tag):
            file = hf_hub_download(
                entry.hub,
                "model.safetensors",
                revision=commit,
                local_dir=temporary,
                endpoint=os.environ.get("HF_ENDPOINT") or None,
                token=False,
                tqdm_class=_bar(tag, entry.size, progress),
            )
        _check(Path(file), entry, f"{tag} from {entry.source}")
        Path(file).replace(_path(tag))
    _record(tag, entry)
    return _path(tag)


def _bar(tag: str, total: int, progress: ProgressCallback | None) -> type[Any]:
    """Return a tqdm that prints nothing and calls `progress`, because library code does not print."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    class Reporting(tqdm):
        received = 0

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: int | float | None = 1) -> bool | None:
            self.received += int(n or 0)
            if progress:
                progress(tag, self.received, total)
            return None

    return Reporting


# --- files ------------------------------------------------------------------------------------------------------------
@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _path(tag: str) -> Path:
    if not re.fullmatch(r"\w[\w.-]*", tag, re.ASCII):
        raise WeightsError("E508", f"{tag!r} is not a name of weights; an example is 'poolformer_m36.sail_in1k'.")
    return folder() / f"{tag}.safetensors"


def _make_folder() -> None:
    try:
        folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder()):
            pass
    except OSError as error:
        raise WeightsError(
            "E509", f"{folder()} cannot be written ({error.strerror}). Set MICROEXPR_WEIGHTS to another folder."
        ) from None


def _state(tag: str, entry: Entry | None) -> str:
    path = _path(tag)
    if entry is None or not path.is_file():
        return "missing"
    if path.stat().st_size != entry.size:
        return f"{path.stat().st_size} bytes instead of {entry.size}"
    return "good" if sha256(path) == entry.sha256 else "its sha256 differs"


def _check(path: Path, entry: Entry, what: str) -> None:
    if path.stat().st_size != entry.size or sha256(path) != entry.sha256:
        raise WeightsError(
            "E502", f"{what}: size or sha256 differs from the expected one, so the file was not kept. Get it again."
        )


def _record(tag: str, entry: Entry) -> None:
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    with WeakFileLock(folder() / ".lock"), replacing(folder() / INDEX) as temporary:
        temporary.write_bytes(_json({**index(), tag: entry}))


def _json(entries: Mapping[str, Entry]) -> bytes:
    return json.dumps({tag: asdict(entries[tag]) for tag in sorted(entries)}, indent=1).encode()


def _entries(text: bytes, path: Path) -> dict[str, Entry]:
    try:
        return {str(tag): Entry(**fields) for tag, fields in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError):
        raise WeightsError(
            "E511", f"{path} holds no readable list of weights ({INDEX}). Move it away and fetch the weights again."
        ) from None


def _member(tar: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], name: str, path: Path) -> BufferedReader:
    source = tar.extractfile(members[name]) if name in members else None
    if not isinstance(source, BufferedReader):
        raise WeightsError("E510", f"{path} is not a complete bundle of weights: it has no {name}. Copy it again.")
    return source


def _copy(source: BufferedReader, target: Path, entry: Entry) -> None:
    with target.open("wb") as out:
        while block := source.read(BLOCK):
            out.write(block)
            if out.tell() > entry.size:
                break
