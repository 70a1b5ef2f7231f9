"""Recommendations and converter suggestions as results hold them, and as people read them."""

from __future__ import annotations

from collections.abc import Iterator

from fragments.domain.converter_suggestions import ConverterOutlook, Part
from fragments.domain.recommendation import Recommendation, percent
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json, exact_number

#: Of a field only a few values are told, and these shortened.
SAMPLES_TOLD = 3
_SAMPLE_LENGTH = 60


def recommendation_json(one: Recommendation) -> JsonObject:
    """A recommendation with all its reasons. Its samples are values of users."""
    counts, sure, suggested = one.counts, one.confidence, one.suggested
    return {
        "entity_type": one.entity_type,
        "field": one.name,
        "eligible": one.is_eligible,
        "suggested": suggested.definition if suggested else None,
        "confidence": _of_ten_thousand(sure.total),
        "factors": [
            {
                "factor": reason.factor.name.value,
                "value": _of_ten_thousand(int(reason.factor.value * 10_000)),
                "weight": _of_ten_thousand(reason.factor.weight),
                "contribution": _of_ten_thousand(int(reason.factor.contribution)),
                "words": reason.words,
            }
            for reason in one.reasons
        ],
        "obstacles": [{"code": found.code.value, "message": found.message} for found in one.obstacles],
        "users": counts.user_count,
        "values": counts.sample_count,
        "seen": counts.frequency_total,
        "sources": counts.unique_sources,
        "types": dict(counts.type_counts),
        "formats": dict(counts.format_counts),
        "last_seen_at": counts.last_seen_at.isoformat() if counts.last_seen_at else None,
        "values_that": None
        if suggested is None
        else {
            "fit": suggested.fitting,
            "would_be_converted": suggested.converted,
            "might_be_converted": suggested.uncertain,
            "do_not_fit": suggested.misfitting,
        },
        "samples": list(one.samples),
    }


def recommendation_lines(one: Recommendation, *, is_explained: bool) -> Iterator[str]:
    """One line, another for each thing that speaks against it, and if wanted for each factor."""
    counts = one.counts
    who = f" by {_number(counts.user_count, 'user')}" if one.user_id is None else ""
    yield (
        f"{'+' if one.is_eligible else '-'} {one.name}: {_declared(one)}, "
        f"confidence {one.confidence.total / 100:.2f} %, seen {_number(counts.frequency_total, 'time')}{who}"
    )
    for obstacle in one.obstacles:
        yield f"    {obstacle.message} [{obstacle.code}]"
    if not is_explained:
        return
    for reason in one.reasons:
        factor = reason.factor
        yield (
            f"    {factor.name}: {reason.words} "
            f"({percent(factor.value)} of {factor.weight / 100:g} = {float(factor.contribution) / 100:.2f})"
        )
    if one.suggested is not None:
        yield f"    {_values_told(one)}"
    for sample in one.samples[:SAMPLES_TOLD]:
        text = canonical_json(sample)
        yield f"    such as {text if len(text) <= _SAMPLE_LENGTH else text[:_SAMPLE_LENGTH] + '…'}"


def outlook_json(outlook: ConverterOutlook) -> JsonObject:
    """What converters would make of the waiting values of a declared field."""
    return {
        "field": outlook.field.name,
        "type": outlook.field.type.value,
        "waiting": outlook.waiting,
        "converters": [{"function": name, **_part(part)} for name, part in outlook.suggested.items()],
        "already_convertible": _part(outlook.already),
        "notations": [{"notation": name.value, **_part(part)} for name, part in outlook.notations.items()],
        "unreadable": _part(outlook.rest),
        "is_exact": outlook.is_exact,
        "looked_at": outlook.looked_at,
        "to_be_looked_at": outlook.sampled,
        "definition": outlook.definition,
    }


def outlook_lines(outlook: ConverterOutlook) -> Iterator[str]:
    """One line, and another for each thing that could become of the values."""
    looked_at = ""
    if not outlook.is_exact:
        looked_at = f"; of {outlook.sampled:,} that have to be looked at, {outlook.looked_at:,} were"
    yield f"{outlook.field.name} ({outlook.field.type}): {_number(outlook.waiting, 'value')} of another type{looked_at}"
    about = "" if outlook.is_exact else "about "
    for function, part in outlook.suggested.items():
        yield f"    + {function} would convert {about}{_told(part)}"
    if outlook.already.count:
        yield f"    its converters read {about}{_told(outlook.already)}: they wait to be tried again"
    for notation, part in outlook.notations.items():
        yield f"    {about}{_told(part)} are dates that no converter reads: {notation}"
    if outlook.rest.count:
        yield f"    {about}{_told(outlook.rest)} are nothing that a converter reads"


def _declared(one: Recommendation) -> str:
    if one.suggested is None:
        return "no type"
    field = one.suggested.field
    converters = ", ".join(converter.function for converter in field.converters)
    return f"{field.type}{f' by {converters}' if converters else ''}"


def _values_told(one: Recommendation) -> str:
    suggested = one.suggested
    if suggested is None:
        return ""
    parts = (
        (suggested.fitting, "fit"),
        (suggested.converted, "would be converted"),
        (suggested.uncertain, "might be converted"),
        (suggested.misfitting, "would not fit"),
    )
    return f"of {_number(one.counts.sample_count, 'value')} " + ", ".join(
        f"{count:,} {what}" for count, what in parts if count
    )


def _part(part: Part) -> dict[str, Json]:
    return {"count": part.count, "share": _of_ten_thousand(int(part.share * 10_000))}


def _told(part: Part) -> str:
    return f"{part.count:,} ({percent(part.share)})"


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _of_ten_thousand(count: int) -> Json:
    """A share from 0 to 1, exact."""
    return exact_number(f"{count}e-4")
