"""How observations become a snapshot, as pure code: no database, no clock, no settings."""
