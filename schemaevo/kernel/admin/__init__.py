"""Pages of users, roles, jobs, verifications and the audit log; importing them registers them."""

from schemaevo.kernel.admin import audit, jobs, people, verifications

__all__ = ["audit", "jobs", "people", "verifications"]
