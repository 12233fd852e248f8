"""Claimed scores held against a log: which holds within its printed rounding, and what a false one is instead."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from microexpr.audit.quantities import ALL, Quantity
from microexpr.core.delimited_text import squeeze
from microexpr.core.errors import UsageError, suggest

NAMES: Final = {
    "macro_f1": "uf1",
    "f1": "uf1",
    "f1_macro": "uf1",
    "macro_recall": "uar",
    "recall": "uar",
    "balanced_accuracy": "uar",
    "war": "accuracy",
    "acc": "accuracy",
    "micro_f1": "accuracy",
    "weighted_recall": "accuracy",
    "precision": "macro_precision",
    "wf1": "weighted_f1",
    "f1_weighted": "weighted_f1",
    "ece": "expected_calibration_error",
}
"""Other names of quantities."""
TOLERANCE: Final = 1e-9
SIGNED: Final = ("kappa", "mcc")
"""Quantities that can lie below 0."""
NEAR: Final = 0.05
"""How far around a claim quantities are counted, to tell how many would agree with it by chance."""


@dataclass(frozen=True, slots=True)
class Printed:
    """A number as it was printed: what it could have been rounded from, or cut off from."""

    text: str
    value: float
    unit: float
    """One step of its last digit; 0 where a whole number is meant exactly."""

    @property
    def low(self) -> float:
        return self.value - self.unit / 2

    @property
    def high(self) -> float:
        return self.value + self.unit / 2

    def rounded_from(self, value: float) -> bool:
        """Say whether `value`, rounded to the nearest, is printed so."""
        return self.low - TOLERANCE <= value <= self.high + TOLERANCE

    def cut_from(self, value: float) -> bool:
        """Say whether `value`, its further digits cut off, is printed so."""
        return self.unit > 0 and self.value - TOLERANCE <= value < self.value + self.unit - TOLERANCE


def printed(text: str) -> Printed:
    """Read a number with the decimals that it was printed with; per cent is divided by 100.

    A whole number without a per cent sign, such as 0 or 1, is meant exactly: scores are not rounded to whole numbers.

    >>> printed("0.500").low, printed("71.2 %"), printed("1").low
    (0.4995, Printed(text='71.2 %', value=0.712, unit=0.001), 1.0)
    """
    found = re.fullmatch(r"\s*(?P<number>[+-]?\d*\.?\d+)\s*(?P<percent>%?)\s*", text)
    if found is None:
        raise UsageError("E105", f"{text!r} is no number as papers print it, such as 0.71 or 71.2%.")
    number = found["number"]
    hundred = 100 if found["percent"] else 1
    unit = 10.0 ** -len(number.partition(".")[2]) if "." in number or found["percent"] else 0.0
    return Printed(text.strip(), round(float(number) / hundred, 12), unit / hundred)


def check_claims(
    text: str,
    found: Sequence[Quantity],
    *,
    again: Sequence[Quantity] = (),
    without: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return a verdict on each claim of ``uf1=0.71,casme2.uar=0.70``; raises UsageError for what is none.

    `again` are quantities of `found` under further names, which may be claimed but are not told twice; `without` are
    names that this log has no number for, and why.
    """
    return [_verdict(part, found, [*found, *again], without or {}) for part in text.split(",") if part.strip()]


def _verdict(
    text: str, found: Sequence[Quantity], claimable: Sequence[Quantity], without: Mapping[str, str]
) -> dict[str, Any]:
    name, sign, number = text.partition("=")
    if not sign:
        raise UsageError(
            "E105", f"--claims takes name=value with commas between, not {text.strip()!r}: uf1=0.71,uar=0.70."
        )
    claim, quantity = printed(number), _claimed(name.strip(), claimable, without)
    if claim.value > 1:
        raise UsageError("E105", f"--claims {text.strip()}: a score lies in 0..1; write per cent as {claim.value:g}%.")
    if claim.value < (-1 if quantity.name in SIGNED else 0):
        raise UsageError("E105", f"--claims {text.strip()}: {quantity.name} cannot be {claim.text}; mend the claim.")
    holds = claim.rounded_from(quantity.value)
    cut = not holds and claim.cut_from(quantity.value)
    equals = [] if holds or cut else [item for item in found if claim.rounded_from(item.value)]
    equals.sort(key=lambda item: item.scope != quantity.scope)
    near = sum(abs(item.value - claim.value) <= NEAR for item in found)
    verdict = {
        "claim": text.strip(),
        "scope": quantity.scope,
        "quantity": quantity.name,
        "printed": claim.value,
        "value": quantity.value,
        "holds": holds or cut,
        "cut_off": cut,
        "equals": [_plain(item) for item in equals],
        "searched": len(found),
        "by_chance": near * claim.unit / (2 * NEAR) if claim.unit else None,
    }
    return verdict | {"sentence": _sentence(claim, quantity, verdict, equals)}


def _claimed(name: str, found: Sequence[Quantity], without: Mapping[str, str]) -> Quantity:
    scopes = {squeeze(item.scope): item.scope for item in found}
    first, _, rest = name.partition(".")
    scope, wanted = (scopes[squeeze(first)], rest) if rest and squeeze(first) in scopes else (ALL, name)
    wanted = wanted.casefold().replace("-", "_").replace(" ", "_")
    wanted = NAMES.get(wanted, wanted)
    here = {item.name.casefold(): item for item in found if item.scope == scope}
    if wanted not in here:
        if wanted in without:
            raise UsageError("E105", f"--claims: {name} {without[wanted]}.")
        known = [*here, *NAMES]
        raise UsageError(
            "E105",
            f"--claims: unknown quantity {name!r}{suggest(wanted, known)}. Known: {', '.join(here)}; with a database "
            f"before it, as in {list(scopes.values())[-1]}.uf1.",
        )
    return here[wanted]


def _plain(item: Quantity) -> dict[str, Any]:
    return {"scope": item.scope, "name": item.name, "value": item.value, "words": item.words}


def _sentence(claim: Printed, quantity: Quantity, verdict: dict[str, Any], equals: Sequence[Quantity]) -> str:
    what = f"{verdict['claim']}: the log gives {quantity.value:.6f}"
    if verdict["cut_off"]:
        return f"{what}; the claim holds, its digits cut off instead of rounded."
    if verdict["holds"]:
        return f"{what}; the claim holds."
    if not equals:
        return f"{what}; the claim does not hold, and none of {verdict['searched']} other quantities is {claim.text}."
    said = "; ".join(f"{item.words}{_where(item, quantity)} = {item.value:.6f}" for item in equals[:4])
    more = f"; and {len(equals) - 4} more" if len(equals) > 4 else ""
    what = f"{what}; the claim does not hold. {claim.text} is {said}{more}"
    if verdict["by_chance"] is None:
        return f"{what}."
    return f"{what} (about {verdict['by_chance']:.1g} of {verdict['searched']} quantities would agree by chance)."


def _where(item: Quantity, claimed: Quantity) -> str:
    return "" if item.scope == claimed.scope else f" [{item.scope}]"
