"""Studies of methods: what makes one, which the data do not allow, and how one is judged for a choice."""

from __future__ import annotations

import dataclasses
import itertools
import re
import shutil
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from conftest import recipe
from microexpr.config.loading import parse
from microexpr.config.study import Study
from microexpr.core.errors import ConfigError, IncompatibleError, SplitError
from microexpr.core.interfaces import protocols
from microexpr.runs import study
from microexpr.runs.plan import Options, Workspace
from refusal import refuses

pytestmark = pytest.mark.usefixtures("no_figures")

METHODS = {
    "pca": {"model": "pca_svm"},
    "small": {"model": {"name": "pca_svm", "components": 5}},
    "image": {"model": "pca_svm", "sampling": "image"},
}


def methods(**content):
    base = {"name": "m", "title": "t", "latency": False, "experiment": recipe().to_dict() | {"protocol": "loso"}}
    return parse(Study, {**base, "methods": METHODS, **content}, "study")


def table(subjects=20, clips=3):
    rows = [
        {"key": f"d/{p}/{c}", "subject": f"d/{p}", "label": (p + c) % 3} for p in range(subjects) for c in range(clips)
    ]
    return pd.DataFrame(rows)


def seeded(seeds):
    return {"a": {"model": {"name": "pca_svm", "components": 5}, "seed": seeds}, "b": {"model": "pca_svm"}}


def two_seeds(first, second):
    found = seeded(first)
    return found | {"b": found["b"] | {"seed": second}}


def test_seeds_in_the_grid_are_common_to_all_methods():
    methods(methods=seeded([1, 2]), grid={"seed": [5, 6]}, leaderboard={"reference": "b"}).check()


def test_methods_are_the_first_axis_of_the_grid():
    found = methods(grid={"seed": [0, 1]})
    assert [cell.name for cell in found.cells()][:2] == ["pca-0", "pca-1"]
    assert found.factors()[3] == {"method": "small", "seed": "1"}
    assert found.seeded([5]).cells()[0].seed == 5
    assert found.cells()[2].model.params == {"components": 5}


def test_methods_that_the_data_do_not_allow_are_skipped_with_the_reason(database):
    jobs, skipped, _ = study.planned(methods(), Workspace(Options({"manifest": database})))
    assert [job.factors["method"] for job in jobs] == ["pca", "small"]
    assert list(skipped) == ["image"]
    assert "sampling image" in skipped["image"]
    with refuses("E462", "\n  image: sampling image", kind=IncompatibleError):
        study.planned(methods(methods={"image": METHODS["image"]}), Workspace(Options({"manifest": database})))


@pytest.mark.parametrize(
    ("content", "code", "named"),
    [
        ({"leaderboard": {"reference": "pcb"}}, "E103", ["leaderboard.reference 'pcb'", "'pca'"]),
        ({"leaderboard": {"contrast": {"a": ["pca"]}}}, "E123", ["leaderboard.contrast"]),
        ({"leaderboard": {"contrast": {"a": ["pca"], "b": ["small", "pca"]}}}, "E123", ["leaderboard.contrast: pca"]),
        ({"leaderboard": {"choice": {"of": ["pca"]}}}, "E102", ["choice.of"]),
        ({"leaderboard": {"choice": {"of": ["pca", "small"], "groups": 7}}}, "E102", ["groups"]),
        ({"leaderboard": {"metric": "expected_calibration_error"}}, "E124", ["expected_calibration_error", "uf1"]),
        ({"leaderboard": {"metric": "uf2"}}, "E103", ["metric 'uf2'"]),
        ({"methods": {"a": {"labels": "casme2_5"}}}, "E120", ["methods.a: 'labels'"]),
        ({"methods": {}, "leaderboard": {"metric": "uar"}}, "E123", ["[methods.NAME]"]),
        ({"methods": {"a": {"model": "pca_svm"}, "b": {"model": "pca_svm"}}}, "E121", ["(method a)", "(method b)"]),
        ({"methods": seeded([])}, "E102", ["methods.a.seed", "seed = [0, 1, 2]"]),
        ({"methods": seeded(["x"])}, "E102", ["methods.a.seed: 'x'"]),
        ({"methods": seeded("x")}, "E102", ["methods.a.seed: 'x'"]),
        ({"methods": seeded([True])}, "E102", ["methods.a.seed: True"]),
        ({"methods": seeded([-1])}, "E102", ["methods.a.seed: -1"]),
        ({"methods": seeded([[1]])}, "E102", ["methods.a.seed: [1]"]),
        ({"methods": seeded([1, 0, 1])}, "E102", ["methods.a.seed", "twice"]),
        (
            {"methods": two_seeds([1, 2], [3, 4]), "leaderboard": {"reference": "b"}},
            "E125",
            ["leaderboard.reference", "b 3, 4, a 1, 2."],
        ),
        (
            {"methods": seeded([1, 2]), "leaderboard": {"choice": {"of": ["a", "b"], "groups": 4}}},
            "E125",
            ["leaderboard.choice.of", "a 1, 2, b 0"],
        ),
        (
            {"methods": two_seeds([1, 2], [3, 4]), "leaderboard": {"contrast": {"one": ["a"], "two": ["b"]}}},
            "E125",
            ["leaderboard.contrast", "a 1, 2, b 3, 4"],
        ),
    ],
)
def test_what_is_wrong_with_methods_is_refused_before_anything_runs(content, code, named):
    with refuses(code, *named, kind=ConfigError):
        methods(**content).check()


def test_every_pair_of_groups_is_left_out_once_and_every_round_tests_all():
    folds = list(protocols.build("group_pairs", {"groups": 6})(table(), np.random.default_rng(0)))
    assert len(folds) == 15
    for number, mine in itertools.groupby(folds, key=lambda fold: fold.repeat):
        tested = np.concatenate([fold.test for fold in mine])
        assert sorted(tested) == list(range(60)), number
    rows = table()
    together = Counter()
    for fold in folds:
        subjects = sorted(set(rows["subject"].iloc[fold.test]))
        assert not set(subjects) & set(rows["subject"].iloc[fold.train])
        together.update(itertools.combinations(subjects, 2))
    # Subjects of one group are left out together in every fold that leaves either out, others once.
    assert set(together.values()) == {1, 5}


def test_too_few_subjects_for_the_groups_are_told():
    with pytest.raises(SplitError, match="groups = 8, but the table has only 5"):
        protocols.build("group_pairs", {})(table(5), np.random.default_rng(0))


@pytest.mark.parametrize(
    "asked", [{"label_smoothing": 0.1}, {"ensemble": 3}, {"average_last": 2, "patience": 0}, {"draw": "subjects"}]
)
def test_gains_of_networks_are_no_methods_of_what_is_fitted_once(asked, database):
    training = {f"training.{name}": value for name, value in asked.items()}
    found = methods(methods={"pca": METHODS["pca"], "better": {"model": "pca_svm", **training}})
    jobs, skipped, _ = study.planned(found, Workspace(Options({"manifest": database})))
    assert [job.factors["method"] for job in jobs] == ["pca"]
    assert re.match(rf"training\.{next(iter(asked))} .* model pca_svm", skipped["better"])


def test_methods_are_judged_under_pairs_of_groups(database):
    found = methods(leaderboard={"choice": {"of": ["pca", "small"], "groups": 4}}, grid={"seed": [3, 4]})
    judged = found.judging()
    assert list(judged) == ["pca", "small"]
    assert {cell.protocol.label for cell in judged.values()} == {"group_pairs(groups=4)"}
    assert {cell.seed for cell in judged.values()} == {3}


def test_a_method_may_have_seeds_of_its_own():
    found = methods(methods={**METHODS, "pca": {"model": "pca_svm", "seed": [0, 7]}})
    assert [(cell.name, cell.seed) for cell in found.cells()] == [
        ("pca-0", 0), ("pca-7", 7), ("small-0", 0), ("image-0", 0)
    ]  # fmt: skip
    assert found.factors()[1:3] == [{"method": "pca", "seed": "7"}, {"method": "small", "seed": "0"}]
    assert [cell.seed for cell in found.seeded([3, 4]).cells()] == [3, 4] * 3


def test_fused_methods_average_probabilities_and_may_be_chosen(database, tmp_path):
    from microexpr import run_study

    of = ("pca", "small")
    found = methods(
        methods={name: METHODS[name] for name in of},
        leaderboard={"fused": {"mean": of}, "choice": {"of": ["mean", "pca"], "groups": 4}, "reference": "pca"},
    )
    done = run_study(found, database, tmp_path, workers=1)
    members = [cell.result.predictions() for cell in done.result.cells]
    (mean,) = (cell.result.predictions() for cell in done.result.fused)
    names = ["p_0", "p_1", "p_2"]
    expected = members[0][names].to_numpy() + members[1].set_index("clip").loc[members[0]["clip"], names].to_numpy()
    np.testing.assert_allclose(mean.set_index("clip").loc[members[0]["clip"], names].to_numpy(), expected / 2)
    assert (mean["y_pred"] == mean[names].to_numpy().argmax(1)).all()
    board = done.summary.leaderboard
    assert "No cell has a score" not in done.paths.html.read_text("utf-8")
    assert {row.method for row in board.rows} == {"pca", "small", "mean"}
    assert set(board.choice.of) == {"mean", "pca"}
    assert next(row for row in board.rows if row.method == "mean").fused == list(of)
    note = "mean: clip-wise mean of the class probabilities of pca and small (first seeds)"
    assert note in done.paths.details.read_text("utf-8")


def test_fused_methods_need_members_that_were_run(database, tmp_path):
    from microexpr import run_study

    found = methods(leaderboard={"fused": {"mean": ["pca", "image"]}})
    done = run_study(found, database, tmp_path, workers=1)
    assert done.result.skipped["mean"] == "it averages image, which was not run"
    with refuses("E103", "leaderboard.fused.mean 'pac'", kind=ConfigError):
        methods(leaderboard={"fused": {"mean": ["pac", "pca"]}}).check()
    with refuses("E123", "leaderboard.fused", "pca", kind=ConfigError):
        methods(leaderboard={"fused": {"pca": ["small", "image"]}}).check()


def test_labels_have_no_word_in_who_is_left_out_together():
    rows = table()
    folds, again = (
        [(fold.name, fold.test.tolist()) for fold in protocols.build("group_pairs", {})(each, np.random.default_rng(0))]
        for each in (rows, rows.assign(label=np.arange(len(rows)) % 7 % 3))
    )
    assert folds == again


def test_a_method_that_does_not_fit_takes_no_clip_from_the_others(database, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(database, root)
    rows = pd.read_csv(root / "manifest.csv")
    rows.loc[:3, "apex"] = None
    rows.to_csv(root / "manifest.csv", index=False)
    found = methods(
        methods={
            "unfit": {"model": "ststnet", "sampling": "af"},
            "fit": {"model": "pca_svm", "sampling": {"name": "af", "missing_apex": "middle"}},
        }
    )
    jobs, skipped, _ = study.planned(found, Workspace(Options({"manifest": root}, skip_invalid=True)))
    assert list(skipped) == ["unfit"]
    assert len(jobs[0].plan.data.clips) == len(rows)


def test_one_folder_keeps_flow_of_two_and_of_three_frames(database, tmp_path):
    flow = {"model": "logistic", "representation": {"name": "flow", "size": 16}}
    both = {"sampling": "onset_apex_offset", **flow}
    found = methods(methods={"one": {"sampling": "onset_apex", **flow}, "both": both})
    from microexpr import run_study

    done = run_study(found, database, tmp_path, workers=1)
    assert [cell.plan.spec.shape for cell in done.result.cells] == [(1, 16, 16, 3), (2, 16, 16, 3)]
    again = run_study(found, database, tmp_path, workers=1)
    assert [len(cell.result.predictions()) for cell in again.result.cells] == [36, 36]


def test_grey_is_not_made_of_flow():
    from microexpr.core.clip import Clip
    from microexpr.core.interfaces import preprocessors

    class Flow:
        clip = Clip(dataset="d", subject_id="s", namespace="d", video="v", fps=None, onset=None, apex=None, offset=None)
        channels = ("strain", "v", "u")

        def pixels(self, numbers):
            return np.zeros((len(numbers), 28, 28, 3), np.uint8)

        def boxes(self, numbers, detector):
            raise AssertionError

    with pytest.raises(ConfigError, match="these frames have strain, v, u"):
        preprocessors.build("crop", {"colour": "grey", "size": 28})(Flow(), [0])


def test_averages_that_cannot_be_made_do_not_cost_the_report(database, tmp_path, monkeypatch):
    from microexpr import run_study

    found = methods(
        methods={name: METHODS[name] for name in ("pca", "small")},
        leaderboard={"fused": {"mean": ["pca", "small"]}, "reference": "pca"},
    )
    first, real = [], study.fuse

    def other(members):
        first.append(members)
        cut = dataclasses.replace(members[1], folds=members[1].folds[1:])
        return real([members[0], cut])

    monkeypatch.setattr(study, "fuse", other)
    done = run_study(found, database, tmp_path, workers=1)
    assert first
    assert done.result.skipped["mean"].startswith("it averages pca, small, and these results have different folds")
    assert {row.method for row in done.summary.leaderboard.rows} == {"pca", "small"}
    assert "these results have different folds" in done.paths.html.read_text("utf-8")


def test_methods_are_not_judged_where_nothing_is_left_to_choose_among(database, tmp_path):
    from microexpr import run_study

    found = methods(leaderboard={"choice": {"of": ["pca", "image"], "groups": 4}})
    jobs, *_ = study.planned(found, Workspace(Options({"manifest": database})))
    assert "judging" not in {job.part for job in jobs}
    done = run_study(found, database, tmp_path, workers=1)
    problem = done.summary.leaderboard.choice.problem
    assert "of pca, image, these data allow only pca" in problem
    assert problem in done.paths.html.read_text("utf-8")


def test_a_reference_that_the_data_do_not_allow_is_told_as_such(database, tmp_path):
    from microexpr import run_study

    done = run_study(methods(leaderboard={"reference": "image"}), database, tmp_path, workers=1)
    page = done.paths.html.read_text("utf-8")
    assert "The reference, image, could not be run, so no method was compared with it" in page
    assert "names no reference" not in page
    found = {each.code: each for each in done.summary.checks}
    assert "image could not be run" in found["ME006"].fix


def test_the_page_says_how_methods_of_other_seeds_are_compared(database, tmp_path):
    from microexpr import run_study

    of = {"pca": METHODS["pca"], "small": {**METHODS["small"], "seed": [0, 1]}}
    done = run_study(methods(methods=of, leaderboard={"reference": "pca"}), database, tmp_path, workers=1)
    assert "one seed is paired with every seed of the other" in done.paths.details.read_text("utf-8")
    assert "<dt>Seeds of a method</dt><dd>1 to 2</dd>" in done.paths.html.read_text("utf-8")


def test_a_method_is_judged_by_the_seed_that_its_average_takes():
    found = methods(
        methods={"pca": {"model": "pca_svm", "seed": [7, 3]}, "small": METHODS["small"] | {"seed": 3}},
        leaderboard={"choice": {"of": ["pca", "small"], "groups": 4}},
    )
    assert [cell.seed for cell in found.cells()] == [3, 7, 3]
    assert found.judging()["pca"].seed == 3
