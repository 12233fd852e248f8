"""A synthetic database whose frames are drawn when they are read, so that unused ones are never drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from microexpr.components.datasets.casme2 import Casme2
from microexpr.components.datasets.synthetic import ClipPlan, SyntheticSpec, face, plan, render, write_table
from microexpr.components.datasets.synthetic.writing import jpeg
from microexpr.core.clip import Clip
from microexpr.core.errors import Fault
from microexpr.core.files import make_folder
from microexpr.core.interfaces import Correction, Modality


class Rendered:
    """The same clips and pixels as `make` writes with this spec and `casme2` reads, without frames on disk.

    The coding table is written to `root` and read like that of any copy.
    """

    def __init__(self, root: Path, spec: SyntheticSpec) -> None:
        write_table(make_folder(root), spec)
        self._spec, self._table = spec, Casme2(root)

    def modalities(self) -> Mapping[str, Modality]:
        """Return the recorded modalities."""
        return self._table.modalities()

    def clips(self) -> Sequence[Clip]:
        """Return the clips of the table."""
        return self._table.clips()

    def faults(self, *, table_only: bool = False) -> Sequence[Fault]:
        """Return the faults of the table; there are no files to check."""
        return self._table.faults(table_only=True)

    def notes(self, *, table_only: bool = False) -> Sequence[Fault]:
        """Return the notes about the table."""
        return self._table.notes(table_only=True)

    def cropped(self) -> bool:
        """Return False: frames are never cropped."""
        return False

    def metadata(self) -> Mapping[str, str]:
        """Return the metadata of the table."""
        return self._table.metadata()

    def applied(self) -> Sequence[Correction]:
        """Return the corrections that the table needed."""
        return self._table.applied()

    def frames(self, clip: Clip, numbers: Sequence[int], modality: str) -> UInt8[np.ndarray, "t 480 640 3"]:
        """Draw frames by number, as decoded from JPEG."""
        planned = self._plans[clip.subject_id, clip.video]
        drawn = (render(face(self._spec, planned.subject), planned, number) for number in numbers)
        return np.stack([_through_jpeg(frame, self._spec.jpeg_quality) for frame in drawn])

    def fingerprint(self) -> str:
        """Return a sha256 of the spec, which determines every byte."""
        return sha256(repr(self._spec).encode()).hexdigest()

    @cached_property
    def _plans(self) -> Mapping[tuple[str, str], ClipPlan]:
        return {(planned.subject, planned.filename): planned for planned in plan(self._spec)}


def _through_jpeg(frame: UInt8[np.ndarray, "h w 3"], quality: int) -> UInt8[np.ndarray, "h w 3"]:
    coded = cv2.imdecode(np.frombuffer(jpeg(frame, quality), np.uint8), cv2.IMREAD_COLOR)
    rgb: UInt8[np.ndarray, "h w 3"] = cv2.cvtColor(coded, cv2.COLOR_BGR2RGB)
    return rgb
