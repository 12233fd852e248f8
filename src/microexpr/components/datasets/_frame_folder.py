"""A clip's folder of numbered frames: what is wrong with it, and its pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from microexpr.components.datasets._images import broken, numbered, ranges, unlike_most
from microexpr.core.clip import Clip
from microexpr.core.errors import Fault, FrameError

_SHOWN = 3
_MEND = "copy its folder again from the original"


@dataclass(frozen=True, slots=True)
class FrameFolder:
    """Frames by number; `prefixes` are the beginnings of their names where only such files count.

    In the folder of a whole `recording`, frames that no clip names are nothing unusual.
    """

    path: Path
    prefixes: tuple[str, ...] = ()
    recording: bool = False

    def listed(self) -> Mapping[int, Path]:
        """Return the frames by number; where two files claim one number, the first by name."""
        return {number: files[0] for number, files in self._numbered().items()}

    def _numbered(self) -> Mapping[int, list[Path]]:
        try:
            return _cached(self, self.path.stat().st_mtime_ns)
        except OSError:
            return {}

    def notes(self, clips: Iterable[Clip]) -> list[str]:
        """Return what is unusual about a folder whose clips are these: frames outside of all of them, and gaps."""
        named = [(clip.onset, clip.offset) for clip in clips if clip.onset is not None and clip.offset is not None]
        found = self.listed()
        if not named or not found:
            return []
        first, last = min(onset for onset, _ in named), max(offset for _, offset in named)
        outside = [number for number in found if not self.recording and not first <= number <= last]
        told = [f"has frames that no clip names: {ranges(outside)}"] if outside else []
        inner = [number for number in range(min(found), max(found)) if number not in found]
        lacking = [number for number in inner if not any(onset <= number <= offset for onset, offset in named)]
        return [*told, f"its numbering has gaps: {ranges(lacking)}"] if lacking else told

    def linked(self) -> bool:
        """Whether its first frame is a link."""
        first = next(iter(self.listed().values()), None)
        return first is not None and first.is_symlink()

    def fault(self, clip: Clip, where: str) -> Fault | None:
        """Return what is wrong with the frames from onset to offset, all told in one fault."""
        if clip.onset is None or clip.offset is None:
            return None
        if not self.path.is_dir():
            return Fault("E201", where, "the clip's folder is missing", _MEND, clip.key)
        found = self._numbered()
        needed = range(clip.onset, clip.offset + 1)
        used = {number: found[number] for number in needed if number in found}
        told = []
        if len(used) < len(needed):
            lacking = ranges(number for number in needed if number not in used)
            told.append(f"lacks the frames {lacking} of {clip.onset}-{clip.offset} (it has {ranges(found) or 'none'})")
        doubled = {n: " and ".join(file.name for file in files) for n, files in used.items() if len(files) > 1}
        told += [f"one number twice: {_all_told(doubled, dict.fromkeys(doubled, 'twice'))}"] if doubled else []
        bad = {n: problem for n, files in used.items() if (problem := broken(files[0]))}
        named = {n: f"{used[n][0].name} {problem}" for n, problem in bad.items()}
        told += [f"broken pictures: {_all_told(named, bad)}"] if bad else []
        odd = unlike_most({n: files[0] for n, files in used.items() if n not in bad})
        told += [f"pictures of another size: {_all_told(odd, dict.fromkeys(odd, 'other sizes'))}"] if odd else []
        return Fault("E201", where, "; ".join(told), _MEND, clip.key) if told else None

    def files(self, numbers: Sequence[int]) -> list[Path]:
        """Return the files of these frames; raises FrameError naming the first that is not there."""
        found = self._numbered()
        for number in numbers:
            if number not in found:
                raise FrameError(
                    "E202",
                    f"{self.path}: frame {number} is not there; the folder has {ranges(found) or 'no frames'}. "
                    "Copy it again from the original.",
                )
        return [found[number][0] for number in numbers]


@lru_cache(maxsize=64)
def _cached(folder: FrameFolder, changed: int) -> dict[int, list[Path]]:
    # Several clips may lie in one folder of thousands of frames, and views are read one by one.
    return numbered(folder.path, folder.prefixes)


def _all_told(told: Mapping[int, str], problems: Mapping[int, str]) -> str:
    """Return what is told of each frame; of more than a few, their numbers by problem."""
    if len(told) <= _SHOWN:
        return ", ".join(told.values())
    alike = {problem: [n for n, other in problems.items() if other == problem] for problem in problems.values()}
    return ", ".join(f"{ranges(numbers)}: {problem}" for problem, numbers in alike.items())
