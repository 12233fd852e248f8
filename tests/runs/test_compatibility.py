"""What a study asks of data that do not have it, and what may be left to its defaults."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from conftest import recipe, write_database
from microexpr.core.errors import ConfigError, IncompatibleError, WeightsError
from microexpr.runs.plan import Options, Workspace
from refusal import refuses


@pytest.fixture(scope="module")
def grey(tmp_path_factory) -> Path:
    root = write_database(tmp_path_factory.mktemp("grey"), subjects=2, clips=3)
    for file in root.rglob("*.png"):
        cv2.imwrite(str(file), cv2.imread(str(file), cv2.IMREAD_GRAYSCALE))
    return root


@pytest.fixture(scope="module")
def coloured(tmp_path_factory) -> Path:
    return write_database(tmp_path_factory.mktemp("coloured"), subjects=2, clips=3)


def plan(root: Path, tmp_path: Path, **values: object):
    experiment = recipe().with_values({key.replace("__", "."): value for key, value in values.items()})
    return Workspace(Options({"manifest": root}, tmp_path)).plan(experiment)


@pytest.mark.parametrize(
    "preprocessing",
    [
        {"name": "m1", "size": 32, "colour": "rgb"},
        {"name": "crop", "size": 32, "colour": "rgb"},
        {"name": "evm", "fps": 200, "of": {"size": 32, "colour": "rgb"}},
    ],
)
def test_colour_asked_of_grey_pictures_is_refused(grey, coloured, tmp_path, preprocessing):
    with refuses("E455", "grey", kind=IncompatibleError):
        plan(grey, tmp_path, preprocessing=preprocessing)
    assert plan(coloured, tmp_path, preprocessing=preprocessing).spec.channels == ("r", "g", "b")


def test_defaults_ask_for_nothing(grey, tmp_path):
    spec = plan(grey, tmp_path, augmentation=[{"name": "colour", "brightness": 0.3}]).spec
    assert spec.channels == ("grey",)


def test_an_axis_of_colour_does_not_compare_grey_with_grey(grey, tmp_path):
    assert plan(grey, tmp_path, preprocessing__colour="grey").spec.channels == ("grey",)
    with refuses("E455", "grey", kind=IncompatibleError):
        plan(grey, tmp_path, preprocessing__colour="rgb")


def test_saturation_asked_of_grey_views_is_refused(grey, coloured, tmp_path):
    asked = [{"name": "colour", "saturation": 0.3}]
    with refuses("E455", "augmentation colour", "saturation = 0.", kind=IncompatibleError):
        plan(grey, tmp_path, augmentation=asked)
    with refuses("E455", "saturation = 0", 'colour = "rgb"', kind=IncompatibleError):
        plan(coloured, tmp_path, augmentation=asked, preprocessing__colour="grey")
    assert plan(coloured, tmp_path, augmentation=asked).spec.channels == ("r", "g", "b")
    assert plan(grey, tmp_path, augmentation=[{"name": "colour", "saturation": 0}]).spec.channels == ("grey",)


# --- before anything is trained ---------------------------------------------------------------------------------------
def test_impossible_parameters_of_a_vote_are_told_while_planning(coloured, tmp_path):
    with pytest.raises(ConfigError, match="3 weights"):
        plan(coloured, tmp_path, vote={"name": "learnt_temporal", "weights": [1.0, 2.0]})


def test_a_dry_run_forgives_published_weights_that_are_not_here_and_no_other_file(coloured, tmp_path, monkeypatch):
    monkeypatch.setenv("MICROEXPR_WEIGHTS", str(tmp_path / "none"))
    workspace = Workspace(Options({"manifest": coloured}, tmp_path))
    asked = recipe().with_values({"model": "vit_b32", "preprocessing.size": 224})
    assert workspace.plan(asked, weights=False).weights == {"weights": "not available"}
    mine = asked.with_values({"model": {"name": "vit_b32", "weights": "/nowhere/x.safetensors"}})
    with pytest.raises(WeightsError, match=r"/nowhere/x\.safetensors"):
        workspace.plan(mine, weights=False)


@pytest.mark.parametrize("model", ["composite_cnn", "vit_nano"])
def test_weights_that_nobody_published_are_refused_while_planning(coloured, tmp_path, model):
    asked = recipe().with_values({"model": {"name": model, "weights": "imagenet"}, "preprocessing.size": 64})
    with pytest.raises((IncompatibleError, WeightsError)):
        Workspace(Options({"manifest": coloured}, tmp_path)).plan(asked, weights=False)
