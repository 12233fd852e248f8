"""Every registered model: its graph agrees with the network in both runtimes, or it is refused with the reason.

``MICROEXPR_EXPORTS=write`` writes the rows of the table in docs/export.md; otherwise they are compared.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import torch

from microexpr.core.errors import MicroexprError
from microexpr.core.interfaces import models
from microexpr.learning import conversion
from microexpr.learning.export import export
from microexpr.learning.graph import RUNTIMES
from microexpr.learning.pipeline import Pipeline
from networks_to_export import stored
from small_inputs import LARGE, SMALL

pytestmark = pytest.mark.usefixtures("one_thread", "no_weights")
PAGE = Path(__file__).parents[2] / "docs" / "export.md"
NETWORKS = [
    name
    for name in models.names()
    if name in LARGE or name == "mobilevit_svm" or models.build(name, SMALL.get(name, {})).trains_in_epochs
]
ROW = re.compile(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", re.MULTILINE)
RULE = "|---|---|---|\n"
AGREES, REFUSED = "agrees", "no network"


def rows() -> dict[str, tuple[str, ...]]:
    """Return the table of the page: model -> what it says of OpenVINO and of ONNX Runtime."""
    return {name: tuple(said) for name, *said in ROW.findall(PAGE.read_text("utf-8"))}


def note(name: str, found: tuple[str, ...]) -> None:
    """Compare a row of the table, or write it."""
    if os.environ.get("MICROEXPR_EXPORTS") == "write":
        table = "".join(f"| `{key}` | {' | '.join(said)} |\n" for key, said in sorted({**rows(), name: found}.items()))
        page = PAGE.read_text("utf-8")
        head, tail = re.sub(r"^\| `\w+` .*\n", "", page, flags=re.MULTILINE).split(RULE)
        PAGE.write_text(f"{head}{RULE}{table}{tail}", "utf-8")
    assert rows()[name] == found


def test_the_table_has_every_model():
    assert list(rows()) == sorted(models.names())
    assert {name for name, said in rows().items() if said == (REFUSED, REFUSED)} == set(models.names()) - set(NETWORKS)


@pytest.mark.slow
@pytest.mark.numeric
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_agrees_in_both_runtimes(name, tmp_path):
    place = stored(name, tmp_path / "model")
    pipeline = Pipeline.load(place, runtime="torch")
    network = conversion.Named(pipeline.learner.model, ()).eval()
    views = 50 if name in LARGE else 1000
    with torch.inference_mode():
        logits = torch.cat([network(x)[0] for x in conversion.drawn_views(pipeline.spec, 40, 8)])
    spread = logits.std(0).max().item()
    said = []
    for runtime in RUNTIMES:
        try:
            found = export(place, to=runtime, views=views).agreement
        except MicroexprError as error:
            said.append(f"refused ({error.code})")
            print(name, runtime, error)
            continue
        said.append(AGREES)
        print(f"{name} {runtime}: {found}, spread {spread:.3g}")
        assert found.logit < 1e-3 * spread, "inputs hardly differ, so nothing is compared"
    note(name, tuple(said))


@pytest.mark.parametrize("name", sorted(set(models.names()) - set(NETWORKS)))
def test_what_is_no_network_is_in_the_table(name):
    note(name, (REFUSED, REFUSED))


@pytest.mark.slow
@pytest.mark.numeric
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_ensemble_agrees(runtime, tmp_path):
    place = stored("small_cnn", tmp_path / "model", targets=True, **{"training.ensemble": 2})
    found = export(place, to=runtime).agreement
    assert found.probability < 1e-5
    assert Pipeline.load(place, runtime=runtime).learner.model is not None
