"""The addresses of the verbs, and which of them the page of a field offers."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import URLPattern, path, reverse

from fragments.admin.enhancement_modes import MODE_TONES, mode_url
from fragments.admin.field_verbs.archive import archive_page
from fragments.admin.field_verbs.asked import asked_verb, field_query, owner_said
from fragments.admin.field_verbs.converters import converters_page
from fragments.admin.field_verbs.dismiss import MAY_DISMISS, dismiss_page
from fragments.admin.field_verbs.ignore import MAY_IGNORE, ignore_page
from fragments.admin.field_verbs.promote import promote_page
from fragments.models import RawFragmentAggregate
from fragments.selectors_enhancement import enhancement_mode
from fragments.selectors_lifecycle import is_deletable
from fragments.selectors_refusals import dismissal_of
from fragments.services.enhancement import MAY_SET
from fragments.services.field_converters import MAY_CONVERT
from fragments.services.lifecycle import MAY_ARCHIVE
from fragments.services.promotions import MAY_PROMOTE
from registry.cache import load_active_schema
from schemaevo.kernel.pages.base import StoreAdmin

_VERBS = {
    "promote": (promote_page, MAY_PROMOTE),
    "converters": (converters_page, MAY_CONVERT),
    "dismiss": (dismiss_page, MAY_DISMISS),
    "ignore": (ignore_page, MAY_IGNORE),
    "archive": (archive_page, MAY_ARCHIVE),
}


def field_verb_urls(model_admin: StoreAdmin) -> list[URLPattern]:
    """The address of each verb, before those of the rows."""
    view = model_admin.admin_site.admin_view
    return [
        path(
            f"<int:aggregate_id>/{name}/",
            view(asked_verb(model_admin, page, permission)),
            name=f"fragments_rawfragmentaggregate_{name}",
        )
        for name, (page, permission) in _VERBS.items()
    ]


def field_verbs(request: HttpRequest, row: RawFragmentAggregate) -> dict[str, Any]:
    """What can be done about the field by this login, for its page: the address of each verb, empty where it makes no
    sense now; and what was said of the field before. Four queries at most."""
    is_waiting = row.sample_count > 0
    schema = load_active_schema(entity_type=row.entity_type, user_id=row.user_id)
    is_declared = schema.definition is not None and row.fragment_key in schema.definition.fields
    makes_sense = {
        "promote": schema.definition is not None and not is_declared,
        "converters": is_declared and is_waiting,
        "dismiss": True,
        "ignore": True,
        "archive": is_waiting,
    }
    urls = {
        verb: reverse(f"admin:fragments_rawfragmentaggregate_{verb}", args=[row.pk])
        for verb, (_page, permission) in _VERBS.items()
        if makes_sense[verb] and request.user.has_perm(permission)
    }
    user_id, entity_type, name = row.user_id, row.entity_type, row.fragment_key
    may_restore = request.user.has_perm("fragments.restore_fragment")
    if may_restore and is_deletable(user_id=user_id, entity_type=entity_type, fragment_key=name):
        urls["restore"] = f"{reverse('admin:fragments_rawfragment_restore')}?{field_query(row)}"
    mode = enhancement_mode(user_id=user_id, entity_type=entity_type)
    owner = owner_said(row)
    everywhere = {"type": entity_type, "field": name}
    lists = {model: reverse(f"admin:fragments_{model}_changelist") for model in _LISTS}
    return {
        "urls": urls,
        "dismissal": dismissal_of(user_id=user_id, entity_type=entity_type, name=name),
        "mode": mode,
        "mode_tone": MODE_TONES[mode],
        "mode_url": mode_url(owner, row.entity_type) if request.user.has_perm(MAY_SET) else "",
        "behind_url": f"{lists['rawfragment']}?{field_query(row)}",
        "others_url": f"{lists['rawfragmentaggregate']}?{urlencode(everywhere)}",
    }


_LISTS = ("rawfragment", "rawfragmentaggregate")
