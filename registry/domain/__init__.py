"""What a definition is and what follows from it, as pure code: no database, no clock, no settings."""
