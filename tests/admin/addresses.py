"""The addresses of the admin that tests go through."""

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.urls import reverse

from schemaevo.kernel.pages.base import ReadOnlyAdmin
from schemaevo.kernel.pages.keyset import KeysetAdmin

OURS = {"kernel", "registry", "snapshots", "fragments"}


def registered(kind: type[Any] = ReadOnlyAdmin) -> list[type[Model]]:
    """The models whose admin is of that kind."""
    return [
        model
        for model, model_admin in admin.site._registry.items()
        if model._meta.app_label in OURS and isinstance(model_admin, kind)
    ]


READ_ONLY = registered()
KEYSET = registered(KeysetAdmin)


def name_of(model: type[Model]) -> str:
    return str(model._meta.model_name)


def list_of(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def verb_of(model: type[Model], verb: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{verb}", args=args)


def page_of(row: Model) -> str:
    return verb_of(type(row), "change", row.pk)
