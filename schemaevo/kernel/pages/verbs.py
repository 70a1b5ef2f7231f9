"""What the pages of verbs share: a form shown on GET, one service called on POST, a refusal in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.forms import Form
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.translation import ngettext

from schemaevo.kernel.errors import Denied, DomainError

if TYPE_CHECKING:
    from schemaevo.kernel.pages.base import StoreAdmin

#: So many reasons of one refusal stand on a page; the command tells all.
REASONS_SHOWN = 20


@contextmanager
def refusals_told(request: HttpRequest) -> Iterator[None]:
    """A refusal of what is done inside is told on the next page, and what follows goes on after it.

    Raises: PermissionDenied for what the login may not do.
    """
    try:
        yield
    except Denied as error:
        raise PermissionDenied from error
    except DomainError as error:
        for line in refusal_lines(error):
            messages.error(request, line)


def refusal_lines(error: DomainError) -> list[str]:
    """A refusal in words; of one that has several reasons, each of the first ones."""
    reasons = error.context.get("reasons")
    if not isinstance(reasons, list):
        return [error.message]
    lines = [f"{reason['message']} [{reason['rule']}]" for reason in reasons[:REASONS_SHOWN]]
    more = len(reasons) - REASONS_SHOWN
    if more > 0:
        lines.append(ngettext("And %(n)s more reason.", "And %(n)s more reasons.", more) % {"n": more})
    return lines


def form_refused(form: Form, error: DomainError, **fields: str) -> None:
    """The refusal stands in the form, at the field that `fields` names for its code, else above all fields.

    Raises: PermissionDenied for what the login may not do at all.
    """
    if isinstance(error, Denied):
        raise PermissionDenied from error
    form.add_error(fields.get(error.code), refusal_lines(error))


def verb_page(
    model_admin: "StoreAdmin",
    request: HttpRequest,
    template: str,
    *,
    title: str,
    row: Model | None = None,
    **context: Any,
) -> TemplateResponse:
    """A page of the admin that belongs to a model, or to one row of it, and is neither its list nor its form."""
    return TemplateResponse(
        request,
        template,
        {
            **model_admin.admin_site.each_context(request),
            "title": title,
            "opts": model_admin.opts,
            "original": row,
            "media": model_admin.media,
            **context,
        },
    )
