"""Pages of users and roles: who owns records, who signs in, and what they may do."""

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.logins import password_watched
from schemaevo.kernel.models import User
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.display import NOTHING, badge, code, moment
from schemaevo.kernel.pages.filters import PickFilter
from schemaevo.kernel.pages.rights import actor_of
from schemaevo.kernel.pages.views_bar import ReadyView

if TYPE_CHECKING:
    from django.contrib.auth.admin import GroupAdmin as _GroupAdmin
    from django.contrib.auth.admin import UserAdmin as _UserAdmin
    from django.contrib.auth.forms import (
        AdminPasswordChangeForm,
        AdminUserCreationForm,
    )
    from django.contrib.auth.forms import (
        UserChangeForm as _UserChangeForm,
    )

    AuditedBase = StoreAdmin
    BaseGroupAdmin = _GroupAdmin
    BaseUserAdmin = _UserAdmin[User]
    UserCreationForm = AdminUserCreationForm[User]
    UserChangeForm = _UserChangeForm[User]
else:
    from django.contrib.auth.admin import GroupAdmin, UserAdmin
    from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

    AuditedBase = object

    class BaseGroupAdmin(GroupAdmin, StoreAdmin):
        """Django's page of a group, in the looks of the others."""

    class BaseUserAdmin(UserAdmin, StoreAdmin):
        """Django's page of a user, in the looks of the others."""


class Audited(AuditedBase):
    """Pages whose changes are in the audit log: who may sign in, and who may do what."""

    noun: ClassVar[str]

    def state_of(self, row: Any) -> Json:
        """What the audit log keeps of a row. Never a password."""
        raise NotImplementedError

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        # Read before the form writes anything; the relations are still those of the database.
        form.state_before = self.state_of(self.model.objects.get(pk=form.instance.pk)) if change else None
        return super().save_form(request, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The audit row is written with the change itself, in its transaction."""
        super().save_related(request, form, formsets, change)
        # Not the form's row: it may have prefetched what was there before.
        after = self.state_of(self.model.objects.get(pk=form.instance.pk))
        if after != form.state_before:
            audit_record(
                actor=actor_of(request),
                action=f"{self.noun}.{'change' if change else 'create'}",
                target_type=self.noun,
                target_id=form.instance.pk,
                before=form.state_before,
                after=after,
            )


class SuperuserOnly:
    """Pages for superusers; nothing on them can be deleted."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return _is_superuser(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return _is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def _is_superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_superuser)


class UserKindFilter(PickFilter):
    title = _("what they are")
    parameter_name = "what"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("login", _("logins")), ("owner", _("owners"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        if self.value() in {"login", "owner"}:
            return queryset.filter(is_staff=self.value() == "login")
        return queryset


class UserActiveFilter(PickFilter):
    title = _("active")
    parameter_name = "active"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("Yes")), ("0", _("No"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        return queryset.filter(is_active=self.value() == "1") if self.value() in {"0", "1"} else queryset


class LoginCreationForm(UserCreationForm):
    """A new login. Owners are not made by hand: ingest makes them."""

    def save(self, commit: bool = True) -> User:
        user = super().save(commit=False)
        user.is_staff = True
        if commit:
            user.save()
        return user


@admin.register(User)
class UserAdmin(SuperuserOnly, Audited, BaseUserAdmin):
    """Owners of records and logins of people: one table, told apart at a glance."""

    noun = "user"
    form = UserChangeForm
    add_form = LoginCreationForm
    change_password_form = AdminPasswordChangeForm
    change_form_outer_before_template = "admin/kernel/user/erase_link.html"
    list_display = ("name", "email", "what", "roles", "shown_active", "signed_in", "joined")
    list_filter = (UserKindFilter, UserActiveFilter)
    ready_views: ClassVar[tuple[ReadyView, ...]] = (
        ReadyView(_("Logins"), {"what": "login"}),
        ReadyView(_("Owners"), {"what": "owner"}),
    )
    search_fields = ("username__istartswith", "email__istartswith", "=id")
    search_help_text = _("User name, e-mail or number")
    ordering = ("username",)
    sortable_by = ()
    filter_horizontal: ClassVar[tuple[str, ...]] = ()
    readonly_fields = ("signed_in", "joined")
    fieldsets = (
        (None, {"fields": ("username", "password", "email", "time_zone")}),
        (_("What they may do"), {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        (_("When"), {"fields": (("signed_in", "joined"),)}),
    )
    owner_fieldsets = (
        (None, {"fields": ("username", "email", "time_zone")}),
        (_("What they may do"), {"fields": ("is_active",)}),
        (_("When"), {"fields": ("joined",)}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("username", "password1", "password2")}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        if obj is not None and not obj.is_staff:
            return self.owner_fieldsets
        return super().get_fieldsets(request, obj)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        if field is not None and db_field.name == "groups":
            field.label = _("Roles")
            field.help_text = ""
        return field

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """The form of a new password, for logins alone: owners do not sign in."""
        user = self.get_object(request, id)
        if user is not None and not user.is_staff:
            raise PermissionDenied
        if user is None or request.method != "POST":
            return super().user_change_password(request, id, form_url)
        with password_watched(user=user, actor=actor_of(request)):
            return super().user_change_password(request, id, form_url)

    def state_of(self, row: User) -> Json:
        return {
            "username": row.username,
            "email": row.email,
            "time_zone": row.time_zone,
            "is_active": row.is_active,
            "is_staff": row.is_staff,
            "is_superuser": row.is_superuser,
            "roles": list(row.groups.order_by("name").values_list("name", flat=True)),
        }

    @admin.display(description=_("user name"))
    def name(self, user: User) -> str:
        return user.get_username()

    @admin.display(description=_("what they are"))
    def what(self, user: User) -> SafeString:
        if user.is_superuser:
            return badge(_("superuser"), "warn")
        return badge(_("login"), "busy") if user.is_staff else badge(_("owner"))

    @admin.display(description=_("roles"))
    def roles(self, user: User) -> SafeString:
        listed = [group.name for group in user.groups.all()]
        return format_html_join(" ", "{}", ((badge(name),) for name in listed)) if listed else NOTHING

    @admin.display(description=_("active"), boolean=True)
    def shown_active(self, user: User) -> bool:
        return user.is_active

    @admin.display(description=_("last signed in"))
    def signed_in(self, user: User) -> SafeString:
        return moment(user.last_login)

    @admin.display(description=_("since"))
    def joined(self, user: User) -> SafeString:
        return moment(user.date_joined)


def own_password_view(request: HttpRequest) -> HttpResponse:
    """The page on which a login changes its own password, with its trace in the audit log."""
    actor = actor_of(request)
    if request.method != "POST" or actor.user is None:
        return admin.site.password_change(request)
    with password_watched(user=actor.user, actor=actor):
        return admin.site.password_change(request)


admin.site.unregister(Group)


@admin.register(Group)
class RoleAdmin(SuperuserOnly, Audited, BaseGroupAdmin):
    """What each role may do. The roles themselves are made by a migration; more can be added."""

    noun = "role"
    list_display = ("name", "may")
    list_filter = ()
    search_fields = ("name",)
    sortable_by = ()
    # Boxes to tick. Django's two lists have labels that screen readers must not read, and need a script.
    filter_horizontal: ClassVar[tuple[str, ...]] = ()

    def formfield_for_manytomany(self, db_field: Any, request: Any = None, **kwargs: Any) -> Any:
        if db_field.name != "permissions":
            return super().formfield_for_manytomany(db_field, request, **kwargs)
        granted = Permission.objects.select_related("content_type")
        return db_field.formfield(
            queryset=granted.order_by("content_type__app_label", "codename"),
            widget=UnfoldAdminCheckboxSelectMultipleWidget(),
            required=False,
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return super().get_queryset(request).prefetch_related("permissions")

    def state_of(self, row: Group) -> Json:
        granted = row.permissions.order_by("content_type__app_label", "codename")
        listed = granted.values_list("content_type__app_label", "codename")
        return {"name": row.name, "permissions": [f"{app}.{codename}" for app, codename in listed]}

    @admin.display(description=_("permissions"))
    def may(self, role: Group) -> SafeString:
        listed = sorted(permission.codename for permission in role.permissions.all())
        return format_html_join(" ", "{}", ((code(name),) for name in listed)) if listed else NOTHING
