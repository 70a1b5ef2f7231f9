"""The pages of this floor: schemas and their versions, extensions, compatibility, proposals, quotas and
upgrade requests."""

from registry.admin import (
    compatibility,
    extensions,
    proposals,
    quota_notices,
    quota_requests,
    quotas,
    schemas,
)

__all__ = ["compatibility", "extensions", "proposals", "quota_notices", "quota_requests", "quotas", "schemas"]
