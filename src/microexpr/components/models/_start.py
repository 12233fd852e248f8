"""Which weights a network of timm starts from: published ones, those of a file, or random ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from microexpr.components.models._architectures import Architecture
from microexpr.core import pretrained as at_hand
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ViewSpec


def usual(architecture: Architecture) -> str:
    """Return the weights that a member starts from where nothing is said: ImageNet's, where anybody published them."""
    return "imagenet" if architecture.tags else "random"


@dataclass(frozen=True)
class Start:
    """The weights of one network: ``imagenet`` (from the folder of weights), ``hub``, ``random``, or a file's path."""

    architecture: Architecture
    weights: str

    @property
    def tags(self) -> tuple[str, ...]:
        """Names of the published weights, for ``microexpr weights fetch``."""
        return tuple(self.architecture.tags.values())

    def metadata(self, view: ViewSpec) -> Mapping[str, str]:
        """Return the name and sha256 of the weights; raises ConfigError or WeightsError where there are none."""
        if self.weights == "hub":  # asked, not fetched: a check stays quick
            tag = self._tag(view)
            return {"weights": tag, "sha256": at_hand.expected(tag).sha256}
        file = self.file(view)
        return {"weights": file.stem, "sha256": at_hand.sha256(file)} if file else {"weights": "random"}

    def file(self, view: ViewSpec) -> Path | None:
        """Return the file of the weights, fetched where that was asked for; None for random ones."""
        if self.weights == "random":
            return None
        if self.weights == "hub":
            return at_hand.fetch([self._tag(view)])[0]
        return at_hand.locate(self._tag(view)) if self.weights == "imagenet" else at_hand.local(self.weights)

    def _tag(self, view: ViewSpec) -> str:
        tag = self.architecture.tag(view)
        if tag is None:
            raise ConfigError(
                "E104",
                f'Nobody has published weights of {self.architecture.name}: take weights = "random", or a file of '
                "your own.",
            )
        return tag


def joined(metadata: Sequence[Mapping[str, str]]) -> Mapping[str, str]:
    """Return the facts of several networks as one: names and sha256 in their order, what is alike once."""
    told = {key: dict.fromkeys(each[key] for each in metadata if key in each) for key in ("weights", "sha256")}
    return {key: " + ".join(values) for key, values in told.items() if values}
