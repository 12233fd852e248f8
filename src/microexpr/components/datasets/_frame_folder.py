"""A clip's folder of numbered frames: its files, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from microexpr.core.clip import Clip
from microexpr.core.delimited_text import ranges
from microexpr.core.errors import Fault, FrameError
from microexpr.core.image_files import broken, numbered, unlike_most

_SHOWN = 3
_FIX = "copy its folder again from the original"


@dataclass(frozen=True, slots=True)
class FrameFolder:
    """Frames by number; with `prefixes`, only files whose name begins with one of them count.

    In the folder of a whole `recording`, frames outside all clips are normal.
    """

    path: Path
    prefixes: tuple[str, ...] = ()
    recording: bool = False

    def listed(self) -> Mapping[int, Path]:
        """Return the frames by number; where two files have one number, the first by name."""
        return {number: files[0] for number, files in self._numbered().items()}

    def _numbered(self) -> Mapping[int, list[Path]]:
        try:
            return _cached(self, self.path.stat().st_mtime_ns)
        except OSError:
            return {}

    def notes(self, clips: Iterable[Clip]) -> list[str]:
        """Return what is unusual about the folder of these clips: frames outside all of them, and gaps."""
        spans = [(clip.onset, clip.offset) for clip in clips if clip.onset is not None and clip.offset is not None]
        found = self.listed()
        if not spans or not found:
            return []
        first, last = min(onset for onset, _ in spans), max(offset for _, offset in spans)
        outside = [number for number in found if not self.recording and not first <= number <= last]
        problems = [f"has frames outside all clips: {_ranges(outside)}"] if outside else []
        missing = [number for number in range(min(found), max(found)) if number not in found]
        gaps = [number for number in missing if not any(onset <= number <= offset for onset, offset in spans)]
        return [*problems, f"its numbering has gaps: {_ranges(gaps)}"] if gaps else problems

    def linked(self) -> bool:
        """Whether its first frame is a link."""
        first = next(iter(self.listed().values()), None)
        return first is not None and first.is_symlink()

    def fault(self, clip: Clip, where: str) -> Fault | None:
        """Return what is wrong with the frames from onset to offset: one fault, with the code of the first problem."""
        if clip.onset is None or clip.offset is None:
            return None
        if not self.path.is_dir():
            return Fault("E230", where, "the clip's folder is missing", _FIX, clip.key)
        found = self._numbered()
        needed = range(clip.onset, clip.offset + 1)
        used = {number: found[number] for number in needed if number in found}
        faults = []

        def add(code: str, problem: str) -> None:
            faults.append(Fault(code, where, problem, _FIX, clip.key))

        if len(used) < len(needed):
            missing = _ranges(number for number in needed if number not in used)
            have = f"it has {_ranges(found) or 'none'}"
            add("E231", f"lacks the frames {missing} of {clip.onset}-{clip.offset} ({have})")
        doubled = {n: " and ".join(file.name for file in files) for n, files in used.items() if len(files) > 1}
        if doubled:
            files = _described(doubled, dict.fromkeys(doubled, "two files"))
            add("E232", f"several files with the same frame number: {files}")
        bad = {n: problem for n, files in used.items() if (problem := broken(files[0]))}
        if bad:
            named = {n: f"{used[n][0].name} {problem}" for n, problem in bad.items()}
            add("E233", f"broken images: {_described(named, bad)}")
        odd = unlike_most({n: files[0] for n, files in used.items() if n not in bad})
        if odd:
            add("E234", f"images of a different size: {_described(odd, dict.fromkeys(odd, 'other sizes'))}")
        if not faults:
            return None
        return replace(faults[0], problem="; ".join(fault.problem for fault in faults))

    def files(self, numbers: Sequence[int]) -> list[Path]:
        """Return the files of these frames; raises FrameError naming the first that is missing."""
        found = self._numbered()
        for number in numbers:
            if number not in found:
                raise FrameError(
                    "E231",
                    f"{self.path}: frame {number} is missing; the folder has {_ranges(found) or 'no frames'}. "
                    "Copy it again from the original.",
                )
        return [found[number][0] for number in numbers]


@lru_cache(maxsize=64)
def _cached(folder: FrameFolder, changed: int) -> dict[int, list[Path]]:
    # One folder of thousands of frames may serve several clips, and views are read one by one.
    return numbered(folder.path, folder.prefixes)


def _described(texts: Mapping[int, str], problems: Mapping[int, str]) -> str:
    """Return the text of each frame; of more than a few, frame numbers by problem."""
    if len(texts) <= _SHOWN:
        return ", ".join(texts.values())
    numbers = {problem: [n for n, other in problems.items() if other == problem] for problem in problems.values()}
    return ", ".join(f"{_ranges(found)}: {problem}" for problem, found in numbers.items())


def _ranges(numbers: Iterable[int]) -> str:
    return ", ".join(ranges(numbers))
