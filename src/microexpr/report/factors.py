"""Tables and figures of a study's factors: effects, levels, and scores by size of the training set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from microexpr.report.paper_figures import Plot
from microexpr.report.reading import Reading, number, short
from microexpr.report.style import INK, MARKERS, RULE, SERIES, SOFT, WIDTH, legend_handles
from microexpr.report.table import ABSENT, Column, Table

IN_ONE_LINE, ACROSS = 4, 3
"""Largest number of panels in a single row, and panels per row where there are more."""


def factor_tables(reading: Reading) -> list[Table]:
    """Return the tables of factors that the summary has rows for."""
    made = [effects(reading), crossings(reading)]
    made += [preprocessings(reading)] if reading.many_preprocessings else []
    return [table for table in made if table.rows]


def factor_figures(reading: Reading) -> list[Plot | None]:
    """Return the figures of factors that the summary has values for."""
    return [contrasts(reading), levels(reading), curves(reading)]


def _note(reading: Reading) -> str:
    """Return what the differences are of, and how their intervals were made."""
    metadata = reading.part("factors")
    level = number(metadata.get("level"))
    intervals = "" if level is None else f" {_intervals(f'{100 * level:.3g} %', metadata)}."
    averaged = " and ".join(metadata.get("averaged") or [])
    averaged = f" Averaged over {averaged}." if averaged else ""
    return f"Differences in mean {metadata.get('score')}.{intervals}{averaged}"


def _intervals(level: str, metadata: Mapping[str, Any]) -> str:
    """Return how intervals were made; summaries without a method have plain percentile intervals."""
    n, method = number(metadata.get("n")), metadata.get("method") or "percentile bootstrap"
    return f"{level} intervals: {method} by subject{'' if n is None else f', {int(n):,} resamples'}"


def effects(reading: Reading) -> Table:
    """Return main effects with all pairs of levels, and interactions with their largest contrast."""
    metadata = reading.part("factors")
    rows: list[dict[str, Any]] = []
    marks: dict[int, str] = {}
    for effect in metadata.get("effects") or []:
        main = len(effect["factors"]) == 1
        parts = sorted(effect["contrasts"], key=lambda part: -abs(part["value"]))
        bold = " best" if effect["claimed"] else ""
        marks[len(rows)] = f"rule{bold}" if main or (rows and "×" not in rows[-1]["effect"]) else bold.strip()
        for at, part in enumerate(parts if main else parts[:1]):
            row = {"effect": effect["effect"], "contrast": part["words"], **part}
            tested = {"p_value": effect["p_value"], "p_corrected": effect["p_corrected"], "blocks": effect["blocks"]}
            rows.append(row | (tested if at == 0 else dict.fromkeys(tested, "")))
    columns = [
        Column("Factor", "effect"),
        Column("Contrast", "contrast"),
        Column(f"Difference [{reading.interval_level}]", ("value", "low", "high"), "change"),
        Column("p", "p_value", "p", missing=" "),
        Column("p (Holm)", "p_corrected", "p", missing=" "),
        Column("Settings", "blocks", "count", missing=" "),
    ]
    notes = [_note(reading)] if rows else []
    if rows:
        drawn = number(metadata.get("permutations"))
        notes.append(
            f"p: permutation of levels within subjects{'' if drawn is None else f', {int(drawn):,} permutations'}; "
            "corrected by Holm over all rows with a p. Bold: significant. Settings: combinations of the other factors' "
            "levels that were averaged over. Interactions are shown with their largest contrast; summary.json has all "
            "of them."
        )
    return Table("effects", "Main effects and two-way interactions of the factors", columns, rows, notes, marks)


def crossings(reading: Reading) -> Table:
    """Return the training size at which the curves of two levels cross."""
    found = reading.part("sizes")
    rows = [
        {**row, "pair": f"{row['a']}, {row['b']}"}
        | {"at": "do not cross" if row["at"] is None else row["at"], "interval": _interval(row, found)}
        for row in found.get("crossings") or []
    ]
    columns = [
        Column("Factor", "factor"),
        Column("Levels", "pair"),
        Column("Crossing", "at", "size"),
        Column(f"[{reading.interval_level}]", "interval"),
        Column("small sizes", "small", group="higher at", missing=ABSENT),
        Column("large sizes", "large", group="higher at", missing=ABSENT),
        Column("Resamples", "share", "percent"),
    ]
    notes = [
        f"In {found.get('unit')}; the last crossing, interpolated on the logarithm of the size. A resample whose "
        "curves do not cross counts as a crossing beyond the nearer end. Resamples: share in which they cross. "
        f"{_intervals(reading.interval_level, found)}."
    ]
    return Table("crossings", "Crossings of the curves", columns, rows, notes)


def crossed(reading: Reading) -> list[str]:
    """Return a sentence for each crossing bounded on at least one side, and how many crossings are not bounded."""
    rows = [row for row in reading.part("sizes").get("crossings") or [] if row["at"] is not None]
    known = [row["sentence"] for row in rows if row["low"] is not None or row["high"] is not None]
    unbounded = len(rows) - len(known)
    if not unbounded:
        return known
    return [
        *known,
        f"{unbounded} pair{'s' * (unbounded != 1)} of curves cross{'es' * (unbounded == 1)}, but the interval of the "
        "crossing extends beyond both ends of the range of training sizes.",
    ]


def _interval(row: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    if row["at"] is None:
        return ABSENT
    sizes = [size for curve in found["curves"] for size in curve["sizes"]]
    low = f"below {min(sizes):.0f}" if row["low"] is None else f"{row['low']:.0f}"
    high = f"above {max(sizes):.0f}" if row["high"] is None else f"{row['high']:.0f}"
    return f"{low} to {high}"


def preprocessings(reading: Reading) -> Table:
    """Return the output of each preprocessing, one per row: the form of Table I for many preprocessings."""
    rows = [
        {**fact, "name": reading.label("preprocessing", name), "size": f"{fact.get('width')} × {fact.get('height')}"}
        | {"colours": ", ".join(fact.get("channels") or [])}
        for name, fact in reading.part("preprocessing").items()
    ]
    columns = [
        Column("Preprocessing", "name"),
        Column("Size", "size"),
        Column("Channels", "colours"),
        Column("Values per image", "values_per_image", "count"),
        Column("Frames with a centred face", "face_centred", "percent"),
        Column("Frames searched for a face", "n_searched", "count"),
        Column("Box jitter (px)", "box_jitter_px", "ms"),
    ]
    notes = ["Box jitter: standard deviation of the crop's centre within a clip, in pixels of the source frame."]
    return Table("preprocessings", "Preprocessing", columns, rows, notes)


# --- figures ----------------------------------------------------------------------------------------------------------
def contrasts(reading: Reading) -> Plot | None:
    """Draw the main effects: the difference of every two levels with its interval."""
    main = [effect for effect in reading.part("factors").get("effects") or [] if len(effect["factors"]) == 1]
    rows = [(effect, part) for effect in main for part in effect["contrasts"]]
    if not rows:
        return None
    figure = Figure(figsize=(WIDTH, 0.19 * len(rows) + 0.12 * len(main) + 0.75), layout="constrained")
    axes = figure.subplots()
    at, ticks, before = 0.0, [], None
    for effect, part in rows:
        at += 0.6 if before not in (None, effect["effect"]) else 0.0
        colour = SERIES[main.index(effect) % len(SERIES)]
        axes.plot([part["low"], part["high"]], [at, at], color=colour, linewidth=1.3, solid_capstyle="butt", zorder=2)
        face = colour if effect["claimed"] else "white"
        axes.plot([part["value"]], [at], color=colour, marker="o", markersize=4.5, markerfacecolor=face, zorder=3)
        ticks.append((at, f"{effect['effect']}: {short(part['words'], 40)}"))
        at, before = at + 1, effect["effect"]
    axes.axvline(0, color=SOFT, linewidth=0.8, zorder=1)
    axes.set_yticks([y for y, _ in ticks], [label for _, label in ticks])
    axes.set_ylim(at - 0.4, -0.6)
    axes.set_xlabel(f"difference in mean {reading.part('factors').get('score')}")
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    notes = [_note(reading), "Filled markers: significant after Holm's correction; intervals are not corrected."]
    return Plot("effects", "Main effects of the factors", figure, notes)


def levels(reading: Reading) -> Plot | None:
    """Draw all cells by their level of each factor, and the means of the levels."""
    axes_of = {name: [str(word) for word in axis["levels"]] for name, axis in reading.part("axes").items()}
    cells = [cell for cell in reading.cells if reading.score(cell) is not None]
    if len(axes_of) < 2 or len(cells) < 4 or (reading.leaderboard and not reading.part("factors")):
        return None
    across = len(axes_of) if len(axes_of) <= IN_ONE_LINE else ACROSS
    down = -(-len(axes_of) // across)
    figure = Figure(figsize=(WIDTH, 2.3 * down + 0.1), layout="constrained")
    ratios = [max(2, len(words)) for words in axes_of.values()] if down == 1 else None
    panels = figure.subplots(down, across, sharey=True, squeeze=False, width_ratios=ratios).flat
    for (name, words), axes in zip(axes_of.items(), panels, strict=False):
        means = []
        for at, word in enumerate(words):
            scores = [cell["macro_f1"] for cell in cells if str((cell.get("factors") or {}).get(name)) == word]
            spread = [at + 0.24 * ((k + 0.5) / len(scores) - 0.5) for k in range(len(scores))]
            axes.plot(spread, scores, color=SERIES[0], marker="o", markersize=2.2, alpha=0.35, linestyle="none")
            means.append(sum(scores) / len(scores) if scores else float("nan"))
        axes.plot(range(len(words)), means, color=INK, marker="_", markersize=13, markeredgewidth=1.6, linewidth=0.8)
        long = sum(map(len, words)) > 22
        turn: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if long else {}
        axes.set_xticks(range(len(words)), [short(word, 18) for word in words], **turn)
        axes.set_xlim(-0.5, len(words) - 0.5)
        axes.set_title(name)
        axes.grid(axis="y")
    for axes in panels:
        axes.set_visible(False)
    for axes in figure.axes[::across]:
        axes.set_ylabel("macro-F1")
    notes = ["Dots: cells. Bars joined by a line: means over the cells of a level; for intervals see the main effects."]
    return Plot("levels", "Scores of the cells by factor level", figure, notes)


def curves(reading: Reading) -> Plot | None:
    """Draw scores by size of the training set: one panel per factor, one line per level, and crossings of two lines."""
    found = reading.part("sizes")
    factors = list(dict.fromkeys(curve["factor"] for curve in found.get("curves") or []))
    if not factors:
        return None
    across = min(ACROSS - 1, len(factors))
    down = -(-len(factors) // across)
    figure = Figure(figsize=(WIDTH if across > 1 else 4.6, 2.7 * down), layout="constrained")
    panels = figure.subplots(down, across, sharey=True, squeeze=False).flat
    for factor, axes in zip(factors, panels, strict=False):
        mine = [curve for curve in found["curves"] if curve["factor"] == factor]
        _lines(axes, mine, str(found.get("unit")))
        crossed = [row for row in found.get("crossings") or [] if row["factor"] == factor and row["at"] is not None]
        if len(mine) == 2:
            for row in crossed:
                axes.axvline(row["at"], color=SOFT, linewidth=0.9, dashes=(3, 2), zorder=1)
        axes.set_title(factor if factor else "all cells")
    for axes in panels:
        axes.set_visible(False)
    for axes in figure.axes[::across]:
        axes.set_ylabel(str(found.get("score")))
    notes = [f"{_intervals(reading.interval_level, found)}; larger training sets contain the smaller ones."]
    notes += ["Dashed lines: crossings of two curves."] if found.get("crossings") else []
    return Plot("sizes", "Scores by size of the training set", figure, notes)


def _lines(axes: Axes, mine: Sequence[Mapping[str, Any]], unit: str) -> None:
    sizes = mine[0]["sizes"]
    entries = {}
    for at, curve in enumerate(mine):
        # Offset horizontally to keep intervals distinct.
        x = [size * 1.012 ** (at - (len(mine) - 1) / 2) for size in sizes]
        how: dict[str, Any] = {"color": SERIES[at % len(SERIES)], "marker": MARKERS[at % len(MARKERS)]}
        axes.vlines(x, curve["low"], curve["high"], color=how["color"], linewidth=1.0, zorder=2)
        axes.plot(x, curve["scores"], **how, markersize=4.0, linewidth=1.2, zorder=3)
        entries[short(str(curve["level"]), 18)] = how | {"markersize": 4.0}
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:.0f}" for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(unit)
    axes.grid(axis="y", color=RULE)
    axes.legend(handles=legend_handles(entries), loc="upper left", fontsize=7.0)
