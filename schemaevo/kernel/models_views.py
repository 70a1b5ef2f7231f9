"""How people want to see a list again."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.fields import ExactJSONField

NAME_MAX = 80


class SavedView(models.Model):
    """A list as a login narrowed it, under a name.

    `list_name` is the list's stable name, such as ``fragments_rawfragment``; `query` holds its filters and its search,
    each by the name that it has in the address, and nothing else. What was typed there may be somebody's name: a view
    is seen by its login alone, and once it is shared by whoever may see the list.
    """

    id = models.BigAutoField(primary_key=True)
    login = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_index=False,
        related_name="+",
        verbose_name=_("whose"),
    )
    list_name = models.CharField(_("list"), max_length=100)
    name = models.CharField(_("name"), max_length=NAME_MAX)
    query = ExactJSONField(_("filters"))
    is_shared = models.BooleanField(_("shared"), default=False, db_default=False)
    created_at = models.DateTimeField(_("saved"), db_default=Now(), editable=False)

    class Meta:
        db_table = "saved_views"
        verbose_name = _("saved view")
        verbose_name_plural = _("saved views")
        default_permissions = ()
        permissions = [("share_view", "Can share a saved view with whoever may see its list")]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["login", "list_name", "name"], name="saved_views_name_uq"),
            models.CheckConstraint(condition=~models.Q(name=""), name="saved_views_name_ck"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["list_name", "name"],
                condition=models.Q(is_shared=True),
                name="saved_views_shared_ix",
            ),
        ]

    def __str__(self) -> str:
        return self.name
