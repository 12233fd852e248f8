"""What a model was trained on, as hashes: stored with its weights and compared with the clips it is tested on later.

Hashes find exact copies only. An image that was re-encoded, resized, mirrored or preprocessed differently has another
hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from jaxtyping import Num

from microexpr.core.files import digest

BYTES = 8
"""Of a hash: the probability that any two of a million different images share one is 3e-8."""


def image_hash(image: Num[np.ndarray, "h w c"]) -> str:
    """Return the hash of an image's pixels, shape and type; '' if every channel is constant.

    Constant images are equal without being copies: the flow of any clip whose apex is its onset is zero.
    """
    first = image[0, 0]
    if not (image[:1] != first).any() and not (image != first).any():
        return ""
    found = blake2b(f"{image.dtype.str}{image.shape}".encode(), digest_size=BYTES)
    found.update(np.ascontiguousarray(image).data)
    return found.hexdigest()


@dataclass(frozen=True)
class TrainedOn:
    """The images and subjects of one training; subjects are salted hashes, so that no file names them."""

    salt: str
    subjects: frozenset[str]
    images: frozenset[str]

    @classmethod
    def of(cls, subjects: Iterable[str], images: Iterable[str]) -> TrainedOn:
        """Hash the subjects; the salt is derived from the content, so that the same training gives the same file."""
        named, shown = sorted(set(subjects)), frozenset(images) - {""}
        salt = digest([named, sorted(shown)])
        return cls(salt, frozenset(_subject_hash(salt, subject) for subject in named), shown)

    def knows(self, subject: str) -> bool:
        """Whether a subject (`Clip.subject`, which includes the database) was trained on."""
        return _subject_hash(self.salt, subject) in self.subjects


def _subject_hash(salt: str, subject: str) -> str:
    return blake2b(f"{salt}/{subject}".encode(), digest_size=BYTES).hexdigest()


@dataclass(frozen=True)
class Lineage:
    """All trainings that weights have been through, the latest first."""

    trainings: tuple[TrainedOn, ...] = ()
    complete: bool = True
    """False if some of the weights came from a file that does not say what it was trained on."""

    def after(self, training: TrainedOn) -> Lineage:
        """Return the lineage of weights that were trained once more."""
        return Lineage(tuple(dict.fromkeys((training, *self.trainings))), self.complete)

    def knows(self, subject: str) -> bool:
        """Whether this subject was in any training."""
        return any(training.knows(subject) for training in self.trainings)

    def has_any(self, images: Iterable[str]) -> bool:
        """Whether any of these images, given by their hashes, was in any training."""
        shown = set(images)
        return any(not training.images.isdisjoint(shown) for training in self.trainings)

    def to_json(self) -> dict[str, Any]:
        """Return the content to store as JSON."""
        written = [
            {"salt": each.salt, "subjects": sorted(each.subjects), "images": sorted(each.images)}
            for each in self.trainings
        ]
        return {"complete": self.complete, "trainings": written}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Lineage:
        """Return what `to_json` wrote; raises KeyError or TypeError for anything else."""
        trainings = (
            # Weights of version 0.1 call the subjects persons.
            TrainedOn(
                str(each["salt"]),
                frozenset(each["subjects"] if "subjects" in each else each["persons"]),
                frozenset(each["images"]),
            )
            for each in content["trainings"]
        )
        return cls(tuple(trainings), bool(content["complete"]))
