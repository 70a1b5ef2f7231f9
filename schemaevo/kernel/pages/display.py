"""How moments, numbers, states, links and JSON look on every page. All results are safe HTML."""

from datetime import UTC, datetime
from math import ceil

import msgspec
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from schemaevo.kernel.canonical import Json, canonical_bytes, canonical_json

#: Longer JSON is folded away under its first characters.
FOLD_AT = 96
#: In a list, JSON is cut to so many characters.
LINE_AT = 80
YEAR_S = 365 * 86_400
NOTHING = format_html('<span class="se-none" aria-hidden="true">{}</span>', "–")


def moment(value: datetime | None, *, seconds: bool = True) -> SafeString:
    """A time in the zone of the login; UTC, to the microsecond, stands in its title."""
    if value is None:
        return NOTHING
    shown = timezone.localtime(value)
    exact = value.astimezone(UTC)
    return format_html(
        '<time class="se-time" datetime="{}" title="{} UTC">{}</time>',
        exact.isoformat(),
        exact.strftime("%Y-%m-%d %H:%M:%S.%f"),
        shown.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M"),
    )


def ago(value: datetime | None) -> SafeString:
    """How long ago a time was; when exactly stands in its title."""
    if value is None:
        return NOTHING
    exact = value.astimezone(UTC)
    return format_html(
        '<time class="se-time" datetime="{}" title="{} ({} UTC)">{}</time>',
        exact.isoformat(),
        timezone.localtime(value).strftime("%Y-%m-%d %H:%M:%S"),
        exact.strftime("%Y-%m-%d %H:%M:%S.%f"),
        naturaltime(value),
    )


def duration(seconds: float) -> str:
    """About how long that is, as people say it, rounded up."""
    if seconds < 60:
        return _("less than a minute")
    if seconds >= YEAR_S:
        return _("more than a year")
    minutes = ceil(seconds / 60)
    if minutes < 90:
        return _("about %(n)s min") % {"n": minutes}
    if minutes < 48 * 60:
        return _("about %(hours)s h %(minutes)s min") % {"hours": minutes // 60, "minutes": minutes % 60}
    return _("about %(n)s days") % {"n": ceil(minutes / (24 * 60))}


def amount(value: int | None) -> SafeString:
    """A count with its thousands apart."""
    if value is None:
        return NOTHING
    return format_html('<span class="se-number">{}</span>', number_format(value, force_grouping=True))


def badge(text: object, tone: str = "plain") -> SafeString:
    """A short state. `tone`: plain, good, busy, warn, bad."""
    return format_html('<span class="se-badge se-{}">{}</span>', tone, text)


def code(text: object) -> SafeString:
    """A name as machines write it: a field, an id."""
    return format_html('<code class="se-code">{}</code>', text)


def short(text: object) -> SafeString:
    """A name on one line; a long one is cut, and whole in its title."""
    return format_html('<span class="se-short" title="{0}">{0}</span>', text)


def link(url: str, text: object) -> SafeString:
    return format_html('<a class="se-link" href="{}">{}</a>', url, text)


def row_link(view: str, pk: object, text: object) -> SafeString:
    """A link to the page of one row; `view` is like ``snapshots_observation``."""
    return link(reverse(f"admin:{view}_change", args=[pk]), text)


def hidden() -> SafeString:
    """What stands where a value is that this login may not see."""
    return format_html(
        '<span class="se-hidden">'
        '<span class="material-symbols-outlined" aria-hidden="true">lock</span>{}</span>',
        _("hidden"),
    )


def json_value(value: Json) -> SafeString:
    """JSON to read: short on one line, long folded under its beginning."""
    line = canonical_json(value)
    if len(line) <= FOLD_AT:
        return format_html('<code class="se-json">{}</code>', line)
    return format_html(
        '<details class="se-fold"><summary><code class="se-json">{}…</code></summary>'
        '<pre class="se-json" tabindex="0">{}</pre></details>',
        line[:FOLD_AT],
        pretty(value),
    )


def json_line(value: Json) -> SafeString:
    """JSON on one line of a list; what is too long is cut, its row has the whole."""
    line = canonical_json(value)
    shown = line if len(line) <= LINE_AT else line[: LINE_AT - 1] + "…"
    return format_html('<code class="se-json se-line-json">{}</code>', shown)


def json_block(value: Json) -> SafeString:
    """JSON as a block, indented."""
    return format_html('<pre class="se-json" tabindex="0">{}</pre>', pretty(value))


def pretty(value: Json) -> str:
    """Indented JSON whose numbers are written as they are stored."""
    return msgspec.json.format(canonical_bytes(value), indent=2).decode()


def names(fields: list[str], *, shown: int = 2) -> SafeString:
    """The first few names of fields, and how many more there are."""
    if not fields:
        return NOTHING
    listed = format_html_join(" ", '<code class="se-code">{}</code>', ((name,) for name in fields[:shown]))
    more = len(fields) - shown
    if more <= 0:
        return format_html('<span class="se-names" title="{}">{}</span>', ", ".join(fields), listed)
    return format_html(
        '<span class="se-names" title="{}">{} <span class="se-none">+{}</span></span>',
        ", ".join(fields),
        listed,
        more,
    )
