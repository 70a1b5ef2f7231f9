"""What the admin pages of every floor are built from: read-only pages, keyset lists, filters, displays."""
