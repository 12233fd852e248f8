"""Claimed scores checked against a log: whether each agrees to its printed decimals, and if not, what it may be."""

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
"""Quantities that can be negative."""
NEAR: Final = 0.05
"""Quantities within this distance of a claim are counted to estimate how many agree with it by chance."""


@dataclass(frozen=True, slots=True)
class Printed:
    """A number as printed, and the values that are printed like this, rounded or truncated."""

    text: str
    value: float
    unit: float
    """One unit of its last digit; 0 for a whole number, which is exact."""

    @property
    def low(self) -> float:
        return self.value - self.unit / 2

    @property
    def high(self) -> float:
        return self.value + self.unit / 2

    def rounded_from(self, value: float) -> bool:
        """Return whether `value`, rounded to the nearest, is printed like this."""
        return self.low - TOLERANCE <= value <= self.high + TOLERANCE

    def cut_from(self, value: float) -> bool:
        """Return whether `value`, truncated, is printed like this."""
        return self.unit > 0 and self.value - TOLERANCE <= value < self.value + self.unit - TOLERANCE


def printed(text: str) -> Printed:
    """Read a number with its printed decimals; a percentage is divided by 100.

    A whole number without a per cent sign, such as 0 or 1, is exact: scores are not rounded to whole numbers.

    >>> printed("0.500").low, printed("71.2 %"), printed("1").low
    (0.4995, Printed(text='71.2 %', value=0.712, unit=0.001), 1.0)
    """
    found = re.fullmatch(r"\s*(?P<number>[+-]?\d*\.?\d+)\s*(?P<percent>%?)\s*", text)
    if found is None:
        raise UsageError("E911", f"{text!r} is not a number such as 0.71 or 71.2%.")
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
    """Return a verdict on each claim of ``uf1=0.71,casme2.uar=0.70``; raises UsageError for an invalid claim.

    `again` are quantities of `found` under other names, which may be claimed but are not counted twice; `without` gives
    the names of quantities that cannot be computed from this log, and why.
    """
    return [_verdict(part, found, [*found, *again], without or {}) for part in text.split(",") if part.strip()]


def _verdict(
    text: str, found: Sequence[Quantity], claimable: Sequence[Quantity], without: Mapping[str, str]
) -> dict[str, Any]:
    name, sign, number = text.partition("=")
    if not sign:
        raise UsageError(
            "E911", f"--claims {text.strip()}: write name=value, separated by commas, for instance uf1=0.71,uar=0.70."
        )
    claim, quantity = printed(number), _claimed(name.strip(), claimable, without)
    if claim.value > 1:
        raise UsageError(
            "E911", f"--claims {text.strip()}: a score is in 0..1; write a percentage as {claim.value:g}%."
        )
    if claim.value < (-1 if quantity.name in SIGNED else 0):
        raise UsageError("E911", f"--claims {text.strip()}: {quantity.name} cannot be {claim.text}. Correct the claim.")
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
        "equals": [
            {"scope": item.scope, "name": item.name, "value": item.value, "description": item.description}
            for item in equals
        ],
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
            raise UsageError("E912", f"--claims: {name} {without[wanted]}.")
        known = [*here, *NAMES]
        raise UsageError(
            "E912",
            f"--claims: unknown quantity {name!r}{suggest(wanted, known)}. Known: {', '.join(here)}. Put a database "
            f"first for its own scores, for instance {list(scopes.values())[-1]}.uf1.",
        )
    return here[wanted]


def _sentence(claim: Printed, quantity: Quantity, verdict: dict[str, Any], equals: Sequence[Quantity]) -> str:
    what = f"{verdict['claim']}: the log gives {quantity.value:.6f}"
    if verdict["cut_off"]:
        return f"{what}; the claim holds (truncated instead of rounded)."
    if verdict["holds"]:
        return f"{what}; the claim holds."
    searched = verdict["searched"]
    if not equals:
        return f"{what}; the claim does not hold, and none of the {searched} quantities computed here is {claim.text}."
    listed = "; ".join(f"{item.description}{_scope(item, quantity)} = {item.value:.6f}" for item in equals[:4])
    more = f"; and {len(equals) - 4} more" if len(equals) > 4 else ""
    what = f"{what}; the claim does not hold. {claim.text} may be {listed}{more}"
    if verdict["by_chance"] is None:
        return f"{what}."
    return (
        f"{what} (of the {searched} quantities computed here, {len(equals)} agree with {claim.text}; by chance alone "
        f"about {verdict['by_chance']:.1g} would)."
    )


def _scope(item: Quantity, claimed: Quantity) -> str:
    return "" if item.scope == claimed.scope else f" [{item.scope}]"
