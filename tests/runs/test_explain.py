"""What models look at, through a study: folds and clips, the check against randomised models, regions, the page."""

from __future__ import annotations

import base64
import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
import torch

from conftest import recipe
from microexpr import run_study
from microexpr.components.models._layers import MotionInput
from microexpr.config.loading import parse
from microexpr.config.study import Study
from microexpr.core.clip import Clip
from microexpr.core.errors import ConfigError, NoFaceError, StoreError, UnknownComponentError
from microexpr.core.interfaces import Attribution, ClipFrames, ClipSource, Frames, Preprocessor, explainers
from microexpr.data.cache import Views
from microexpr.data.composite import Composite
from microexpr.report.blocks import maps as blocks
from microexpr.report.summary.data import is_synthetic
from microexpr.report.view import StudyView
from microexpr.runs import explain as explanations
from microexpr.runs import study
from microexpr.runs.explain import REGIONS, _stored, overlays
from microexpr.runs.explain._randomised import random_model, randomised, rank_correlations, trained
from microexpr.runs.explain._regions import WHOLE, masks, shares
from microexpr.runs.plan import Options, Workspace
from pages import read
from refusal import refuses

pytestmark = pytest.mark.usefixtures("no_figures")

CLASSES = ("happiness", "surprise")
SIDE = 64
STRIPES = np.arange(SIDE // 2) // 4 % 2 * 60


@pytest.fixture(scope="module")
def corner(tmp_path_factory) -> Path:
    """Noise everywhere; level or upright stripes in the lower right quarter of the middle frame tell the class."""
    root, rng, rows = tmp_path_factory.mktemp("corner"), np.random.default_rng(0), []
    half = SIDE // 2
    for subject in range(4):
        for number in range(12):
            label = number % 2
            folder = root / f"s{subject}" / f"c{number}"
            folder.mkdir(parents=True)
            rows.append(["own", f"s{subject}", f"c{number}", CLASSES[label], f"s{subject}/c{number}", 1, 2, 3])
            for frame in (1, 2, 3):
                picture = rng.integers(60, 160, (SIDE, SIDE, 3))
                if frame == 2:
                    picture[half:, half:] += (STRIPES[:, None] if label else STRIPES[None, :])[..., None]
                cv2.imwrite(str(folder / f"{frame}.png"), picture.astype(np.uint8))
    with (root / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["dataset", "subject", "clip", "emotion", "frames", "onset", "apex", "offset"])
        writer.writerows(rows)
    return root


@dataclass(frozen=True)
class Blind:
    """Looks at the picture and never at the model, as an edge detector would."""

    label: ClassVar[str] = "blind"
    scale: ClassVar[str] = "brightness"
    by_class: ClassVar[bool] = False

    def check(self, model: Any, view: Any, name: str) -> None: ...

    def __call__(self, model: Any, x: torch.Tensor, classes: Any, view: Any) -> Attribution:
        return Attribution(x.mean(2).cpu().numpy(), view.shape[1:3])


@dataclass(frozen=True)
class Nothing(Blind):
    label: ClassVar[str] = "nothing"

    def __call__(self, model: Any, x: torch.Tensor, classes: Any, view: Any) -> Attribution:
        return Attribution(np.zeros((len(x), *view.shape[:3]), np.float32), view.shape[1:3])


@dataclass(frozen=True)
class Faceless:
    """Another preprocessing, which finds no face in the onset."""

    of: Preprocessor
    requires_uncropped: ClassVar[bool] = False

    def __call__(self, frames: ClipFrames, numbers: Any) -> Frames:
        if frames.clip.onset in numbers:
            raise NoFaceError("E203", f"no face in frame {frames.clip.onset}")
        return self.of(frames, numbers)


@pytest.fixture(scope="module", autouse=True)
def _more_explainers():
    explainers._factories.update(blind=Blind, nothing=Nothing)
    yield
    for name in ("blind", "nothing"):
        del explainers._factories[name]


def asking(of: list[str], method: object = "auto", folds: int = 1, **changes: Any) -> Study:
    experiment = recipe().with_values(
        {"preprocessing.size": SIDE, "training.epochs": 8, "protocol": {"name": "subject_kfold", "k": 2}}
    )
    content = {
        "name": "asking",
        "title": "Asking",
        "experiment": experiment.to_dict(),
        "methods": {"cnn": {"model": {"name": "small_cnn", "width": 8}}, "pca": {"model": "pca_svm"}},
        "latency": False,
        "explanations": {"of": of, "method": method, "folds": folds},
    }
    return parse(Study, content | changes, "asking")


@pytest.fixture(scope="module")
def done(corner, tmp_path_factory):
    """Both models, as if the pictures were faces that somebody had cut out."""
    out = tmp_path_factory.mktemp("done")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explanations, "face", lambda *_: WHOLE)
        return run_study(asking(["cnn", "pca"]), corner, out), out


def workspace(data: Path, out: Path) -> Workspace:
    return Workspace(Options({"manifest": data}, out))


# --- whether a map means anything -------------------------------------------------------------------------------------
def test_a_model_that_has_learnt_to_look_at_one_quarter_is_seen_to_and_not_flagged(done):
    finished, _ = done
    cnn = finished.result.explained[0]
    assert finished.result.cells[0].result.scores()["accuracy"] > 0.9
    assert cnn.component.name == "grad_cam"
    shown = np.concatenate([fold.maps for fold in cnn.folds]).sum((0, 1))
    assert shown[32:, 32:].sum() / shown.sum() > 0.5  # a quarter of the picture
    assert len(cnn.to_random) == cnn.clips
    assert cnn.to_random.mean() < explanations.INSENSITIVE
    assert not cnn.flagged


def test_an_explainer_that_never_looks_at_the_model_is_flagged(done, corner):
    _, out = done
    found = study.run(asking(["cnn"], "blind"), workspace(corner, out)).explained[0]
    assert found.to_random.to_numpy() == pytest.approx(1)
    assert found.among_random.to_numpy() == pytest.approx(1)
    assert found.flagged
    assert [each.to_random for each in found.shown] == pytest.approx([1] * len(found.shown))


def test_maps_that_are_empty_are_counted_and_correlate_with_nothing(done, corner):
    _, out = done
    found = study.run(asking(["cnn"], "nothing"), workspace(corner, out)).explained[0]
    assert found.empty == found.views == 24
    assert not len(found.to_random)
    assert {each.to_random for each in found.shown} == {None}
    assert not found.flagged
    assert found.regions() == {}


def test_correlation_is_spearmans_and_every_pair_of_randomised_models_counts():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    mine, others = rng.random((2, 1, 3, 4)), [rng.random((2, 1, 3, 4)) for _ in range(3)]
    to_random, among = rank_correlations(mine, others)
    assert to_random.shape == among.shape == (3, 2)
    assert to_random[1, 0] == pytest.approx(spearmanr(mine[0].ravel(), others[1][0].ravel()).statistic)
    assert among[2, 1] == pytest.approx(spearmanr(others[1][1].ravel(), others[2][1].ravel()).statistic)
    to_random, among = rank_correlations(np.zeros((1, 1, 2, 2)), [mine[:1, :, :2, :2]] * 2)
    assert np.isnan(to_random).all()
    assert among[0, 0] == pytest.approx(1)


def cell(done) -> tuple[Any, Any, Views, Path]:
    finished, out = done
    plan = finished.result.cells[0].plan
    fold = plan.folds[0]
    return plan, fold, plan.views(), out / "results" / plan.key / f"fold-{fold.name}.safetensors"


def test_a_randomised_network_has_other_weights_each_time_and_leaves_the_stream_of_random_numbers_alone(done):
    plan, fold, views, weights = cell(done)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = (learner.model for learner in randomised(plan, views, fold, weights, 2))
    assert torch.equal(torch.rand(3), expected)
    kept = trained(plan, weights).model
    for one, other in ((first, second), (first, kept)):
        assert not torch.equal(one.body[1][0].weight, other.body[1][0].weight)
    again = next(randomised(plan, views, fold, weights, 1)).model
    assert torch.equal(first.body[1][0].weight, again.body[1][0].weight)


def test_what_standardises_the_input_of_a_randomised_network_is_the_folds(corner, tmp_path):
    asked = asking(["cnn"])
    asked = parse(
        Study,
        {
            **asked.model_dump(mode="json", exclude_none=True, exclude={"experiment", "methods", "leaderboard"}),
            "experiment": asked.experiment.with_values(
                {"representation": {"name": "flow", "size": 28}, "sampling": "onset_apex", "training.epochs": 1}
            ).to_dict(),
            "methods": {"cnn": {"model": "ststnet"}},
        },
        "flow",
    )
    found = study.run(asked, workspace(corner, tmp_path))
    plan = found.cells[0].plan
    fold = plan.folds[0]
    weights = tmp_path / "results" / plan.key / f"fold-{fold.name}.safetensors"
    fresh = next(randomised(plan, plan.views(), fold, weights, 1))
    mine, start = (
        next(part for part in net.model.modules() if isinstance(part, MotionInput))
        for net in (fresh, random_model(plan, 0))
    )
    kept = next(part for part in trained(plan, weights).model.modules() if isinstance(part, MotionInput))
    assert torch.equal(mine.mean, kept.mean)
    assert not torch.equal(mine.mean, start.mean)


def test_what_is_fitted_once_is_fitted_to_permuted_labels(done):
    finished, out = done
    pca = finished.result.explained[1]
    assert pca.component.name == "occlusion"
    fold = pca.plan.folds[0]
    weights = out / "results" / pca.plan.key / f"fold-{fold.name}.safetensors"
    views = pca.plan.views()
    x = views.take(views.of(fold.train)).reshape(len(fold.train), -1).astype(np.float32)
    right = [
        (learner.model.predict(x) == pca.plan.y[fold.train]).mean()
        for learner in (trained(pca.plan, weights), next(randomised(pca.plan, views, fold, weights, 1)))
    ]
    assert right[0] > 0.95
    assert right[1] < 0.85
    assert len(pca.to_random)


# --- which folds, clips and weights -----------------------------------------------------------------------------------
def test_maps_are_of_clips_that_the_model_did_not_train_on_for_the_class_that_was_predicted(done):
    finished, _ = done
    for found, cell_ in zip(finished.result.explained, finished.result.cells, strict=True):
        plan, predictions = cell_.plan, cell_.result.predictions().set_index("clip")
        fold = plan.folds[0]
        assert [mapped.fold for mapped in found.folds] == [fold.name]
        keys = plan.table["key"].to_numpy()
        assert set(found.folds[0].clips) == set(keys[fold.test])
        assert not set(found.folds[0].clips) & set(keys[fold.train])
        expected = predictions.loc[list(found.folds[0].clips), "y_pred"].to_numpy()
        assert (found.folds[0].classes == expected).all()


def test_weights_are_kept_of_the_folds_that_are_looked_into_and_no_others(done):
    finished, out = done
    for each in finished.result.explained:
        kept = sorted(file.name for file in (out / "results" / each.plan.key).glob("*.safetensors"))
        assert kept == [f"fold-{each.plan.folds[0].name}.safetensors"]


def test_shown_are_the_first_clips_by_key_of_every_class_right_and_wrong(done):
    finished, _ = done
    pca, cell_ = finished.result.explained[1], finished.result.cells[1]
    table = cell_.result.predictions().set_index("clip").loc[sorted(pca.folds[0].clips)]
    expected = []
    for label in range(2):
        mine = table[table["y_true"] == label]
        for right in (True, False):
            expected += mine.index[(mine["y_pred"] == label) == right][:1].tolist()
    assert [each.clip for each in pca.shown] == expected


def test_a_second_run_makes_no_map_again_and_trains_nothing(done, corner, monkeypatch):
    finished, out = done

    def never(*_: object, **__: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(explanations, "_fold_maps", never)
    monkeypatch.setattr("microexpr.runs.experiment.run_fold", never)
    again = run_study(asking(["cnn", "pca"]), corner, out)
    before, after = (each.summary.explanations for each in (finished, again))
    assert before == after


def test_a_fold_that_was_run_before_without_its_weights_is_run_again_to_the_same_result(corner, tmp_path):
    bare = study.run(asking([]), workspace(corner, tmp_path))
    assert not list(tmp_path.glob("results/*/*.safetensors"))
    found = study.run(asking(["cnn"]), workspace(corner, tmp_path))
    assert len(list(tmp_path.glob("results/*/*.safetensors"))) == 1
    first, second = (each.cells[0].result.predictions() for each in (bare, found))
    assert (first["y_pred"] == second["y_pred"]).all()


def test_a_damaged_file_of_maps_says_so(done, tmp_path):
    finished, _ = done
    file = tmp_path / "fold-a.npz"
    file.write_bytes(b"PK\x03\x04 cut off")
    with refuses("E605", "fold-a.npz", kind=StoreError):
        _stored.read(file)
    _stored.write(file, finished.result.explained[0].folds[0])
    whole = bytearray(file.read_bytes())
    for at in range(len(whole) // 4, len(whole) // 4 * 3, 97):  # within what is compressed
        whole[at] ^= 0xFF
    file.write_bytes(whole)
    with refuses("E605", "fold-a.npz", kind=StoreError):
        _stored.read(file)


def test_maps_lie_with_the_results_so_that_removing_these_removes_them(done):
    finished, out = done
    for found in finished.result.explained:
        assert found.folder.parent.parent == out / "results" / found.plan.key


# --- found before the first fold --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("of", "method", "words"),
    [
        (["pca"], "grad_cam", "explanations.of: pca .*occlusion"),
        (["cnn"], "attention_rollout", "explanations.of: cnn .*grad_cam"),
    ],
)
def test_an_explanation_that_a_model_does_not_have_is_refused_before_anything_is_trained(
    corner, tmp_path, of, method, words
):
    with pytest.raises(ConfigError, match=words):
        run_study(asking(of, method), corner, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unknown_names_and_parameters_are_refused():
    with refuses("E103", "explanations.of 'cnnn' (did you mean 'cnn'", kind=UnknownComponentError):
        asking(["cnnn"]).check()
    with refuses("E126", "explanations.of: cnn", kind=ConfigError):
        asking(["cnn", "cnn"]).check()
    with refuses("E110", "'size'", "patch, stride, fill", kind=ConfigError):
        asking(["cnn"], {"name": "occlusion", "size": 3}).check()
    with refuses("E126", "auto", kind=ConfigError):
        asking(["cnn"], {"name": "auto", "patch": 0.2}).check()


def test_without_methods_models_are_named():
    content = asking([]).model_dump(mode="json", exclude={"methods", "leaderboard"})
    grid = {"model": ["small_cnn", "pca_svm"]}
    named = {"of": ["pca_svm"], "method": "auto", "folds": 1}
    made = parse(Study, content | {"methods": {}, "grid": grid, "explanations": named}, "grid")
    made.check()
    with refuses("E103", "explanations.of 'cnn'", kind=UnknownComponentError):
        parse(Study, content | {"grid": grid, "explanations": named | {"of": ["cnn"]}}, "grid").check()


# --- regions ----------------------------------------------------------------------------------------------------------
def test_regions_do_not_overlap_and_lie_where_a_face_has_them():
    found = masks(WHOLE, 100, 100)
    assert found.sum(0).max() == 1
    down = {name: np.nonzero(mask)[0].mean() for name, mask in zip(REGIONS, found, strict=True)}
    assert down["brows"] < down["eyes"] < down["nose"] < down["mouth"] < down["chin"]
    across = [np.nonzero(mask)[1].mean() for mask in found]
    np.testing.assert_allclose(across, 49.5, atol=0.6)  # left and right alike


def test_shares_add_up_the_map_and_follow_the_box():
    maps, box = np.zeros((2, 100, 100)), np.array([0.5, 0.5, 1.0, 1.0])
    maps[0, 90, 75] = 3.0  # 0.81 of the way down the box: the mouth
    maps[1, 10, 10] = 1.0  # beside the face
    mine, area = shares(maps, box)
    stated = dict(zip(REGIONS, mine, strict=True))
    assert stated["mouth"] == 0.75
    assert sum(stated.values()) == 0.75
    assert area.sum() == pytest.approx(0.25 * masks(WHOLE, 200, 200).mean((1, 2)).sum(), abs=0.01)
    even, area = shares(np.ones((1, 64, 64)), WHOLE)
    np.testing.assert_allclose(even, area)
    assert np.isnan(shares(np.zeros((1, 8, 8)), WHOLE)[0]).all()


def test_the_face_of_a_drawn_subject_is_found_in_parts_of_what_the_preprocessing_shows(faces, tmp_path):
    asked = asking(["cnn"])
    changes = {
        "datasets": "casme2",
        "preprocessing": {"name": "m2", "size": 64, "box": "frame"},
        "protocol": {"name": "subject_kfold", "k": 2},
        "training.epochs": 1,
    }
    experiment = asked.experiment.with_values(changes)
    content = asked.model_dump(mode="json", exclude_none=True, exclude={"experiment", "methods", "leaderboard"})
    methods = {
        "cnn": {"model": "small_cnn"},
        "whole": {"model": "small_cnn", "preprocessing": {"name": "m1", "size": 64}},
    }
    made = parse(
        Study,
        content | {"experiment": experiment.to_dict(), "methods": methods, "explanations": {"of": ["cnn", "whole"]}},
        "faces",
    )
    finished = run_study(made, faces, tmp_path)
    cut, whole = finished.result.explained
    boxes = np.concatenate([fold.boxes for fold in cut.folds])
    assert cut.without_face == whole.without_face == 0
    # M2 shows the box and 20 pixels around it, of some 250; a chin near the frame's border leaves fewer below.
    assert ((boxes[:, :2] > 0.03) & (boxes[:, :2] < 0.15)).all()
    np.testing.assert_allclose(boxes[:, 2], 1 - boxes[:, 0])
    assert ((boxes[:, 3] > 0.85) & (boxes[:, 3] <= 1)).all()
    wide = np.concatenate([fold.boxes for fold in whole.folds])
    assert (wide[:, 2] - wide[:, 0] < 0.7).all()  # a face in the middle of the whole frame
    rows = finished.summary.explanations.rows
    assert all(row.overlaid and row.shown[0].panels[0].startswith("onset") for row in rows)
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(rows[0].shown[0].jpeg_base64), np.uint8), 1)
    assert picture.shape == (overlays.SIDE, 3 * overlays.SIDE + 2 * overlays.GAP, 3)


# --- pictures and the page --------------------------------------------------------------------------------------------
def test_a_frame_gets_the_map_of_the_view_and_step_that_shows_it():
    clip = Clip(dataset="d", subject_id="s", namespace="n", video="v", onset=1, apex=5, offset=9)
    steps = np.arange(3.0)[:, None, None] * np.ones((3, 2, 2))
    boxes, blank = np.arange(3.0)[:, None] * np.ones(4), np.zeros((2, 2, 3), np.uint8)

    def near(mapped: overlays.Mapped, *numbers: int) -> list[tuple[float, float]]:
        panels = [mapped.over(number, "", blank) for number in numbers]
        return [(panel.attribution[0, 0], panel.box[0]) for panel in panels]

    single = overlays.Mapped(clip, [(1,), (5,), (9,)], [steps[[0]], steps[[1]], steps[[2]]], list(boxes))
    assert near(single, 1, 5, 8) == [(0, 0), (1, 1), (2, 2)]
    film = overlays.Mapped(clip, [(1, 5, 9)], [steps], [boxes[1]])
    assert near(film, 1, 6, 9) == [(0, 1), (1, 1), (2, 1)]
    flow = overlays.Mapped(clip, [(1, 5)], [steps[[1]]], [boxes[2]])
    assert near(flow, 1, 5) == [(1, 2), (1, 2)]


def test_an_onset_that_cannot_be_shown_gives_way_to_what_the_model_saw(done):
    """The model saw the apex alone: whether a face is in the onset was never asked before."""
    finished, _ = done
    plan = finished.result.cells[0].plan
    clip = plan.data.clips[0]
    view, maps = (clip.apex,), np.ones((1, SIDE, SIDE))

    mapped = overlays.Mapped(clip, [view], [maps], [WHOLE])
    assert [panel.title for panel in overlays.panels(plan, mapped)] == ["onset 1", "apex 2", "flow between them"]
    (panel,) = overlays.panels(replace(plan, preprocessor=Faceless(plan.preprocessor)), mapped)
    assert panel.title == "frame 2"
    assert overlays.outlined(panel, 1.0).shape == (overlays.SIDE, overlays.SIDE, 3)


def test_a_map_is_laid_where_it_is_strong_and_nowhere_else():
    shown = np.zeros((8, 8))
    shown[:4, :4] = 2.0
    panel = overlays.Panel("onset 1", np.full((32, 32, 3), 100, np.uint8), shown, WHOLE)
    drawn = overlays.strip([panel], 2.0)
    assert (drawn[-40:, -40:] == 100).all()
    assert drawn[8, 8].tolist() != [100, 100, 100]
    assert (overlays.strip([replace(panel, attribution=np.zeros((8, 8)))], 0.0) == 100).all()


def test_real_faces_never_enter_the_page_and_lie_beside_the_maps_instead(done):
    finished, out = done  # a manifest of one's own, and nobody says that it is drawn
    for row, found in zip(finished.summary.explanations.rows, finished.result.explained, strict=True):
        assert not row.overlaid
        for each, shown in zip(row.shown, found.shown, strict=True):
            assert each.panels == ["flow between them"]
            assert base64.b64decode(each.jpeg_base64) == overlays.jpeg(shown.alone)
            assert overlays.jpeg(shown.alone) != overlays.jpeg(shown.overlaid)
            assert (out / row.folder / f"{shown.clip.replace('/', '__')}.png").is_file()


def test_the_page_has_the_section_and_loads_nothing(done):
    finished, _ = done
    page = read(finished.paths)
    text = page.text
    assert not page.open
    assert "Attribution maps" in text
    assert "cnn: Grad-CAM" in text
    assert "for the predicted class, whether correct or not" in text
    assert all((dict(found).get("src") or "data:").startswith("data:") for _, found in page.tags)
    names = {path.name for path in (*finished.paths.tables, *finished.paths.figures)}
    assert {"explanations.csv", "explanation_regions.csv", "explanations.svg"} <= names


def test_a_flag_stands_on_the_page_with_the_number(done, corner):
    _, out = done
    finished = run_study(asking(["cnn"], "blind"), corner, out)
    said = "cnn, blind: a randomised model gives a similar map (rank correlation 1.00), so the map says nothing"
    assert said in read(finished.paths).text
    view = StudyView(finished.summary)
    assert blocks.about(view).items[0].startswith(said)
    sanity = blocks.sanity(view)
    assert sanity.name == "explanations"
    assert sanity.body[0][-1] == "flagged"


def test_shares_and_areas_of_all_regions_add_up_to_one_in_the_table(done):
    finished, _ = done
    table = blocks.regions(StudyView(finished.summary))
    assert table.name == "explanation_regions"
    for row in table.rows:
        if row["what"] != "ratio":
            assert sum(row[name] for name in (*REGIONS, "elsewhere")) == pytest.approx(1)
    assert not any("without a known face" in note for note in (*table.notes, *table.method))


def test_where_no_face_is_known_nothing_is_said_of_its_regions(corner, tmp_path):
    finished = run_study(asking(["cnn"]), corner, tmp_path)
    found = finished.result.explained[0]
    assert found.without_face == found.views == 24
    assert found.regions() == {}
    view = StudyView(finished.summary)
    assert blocks.sanity(view).rows
    assert not blocks.regions(view).rows
    names = {path.name for path in finished.paths.tables}
    assert "explanations.csv" in names
    assert "explanation_regions.csv" not in names
    assert finished.paths.html.is_file()


def test_a_study_that_asks_for_nothing_has_no_section(corner, tmp_path):
    finished = run_study(asking([]), corner, tmp_path)
    assert finished.summary.explanations is None
    assert "Attribution maps" not in read(finished.paths).text


def test_faces_enter_a_report_only_where_all_databases_are_drawn():
    def known(**metadata: str) -> Mock:
        return Mock(spec=ClipSource, metadata=Mock(return_value=metadata))

    drawn, real = known(synthetic="seed 0"), known(table="a.xlsx")
    assert is_synthetic(drawn)
    assert not is_synthetic(real)
    assert is_synthetic(Composite({"a": drawn, "b": drawn}))
    assert not is_synthetic(Composite({"a": drawn, "b": real}))
