"""Plugin `store_sqlite`: runs in one SQLite file, through APSW. How it is stored: ``docs/storage.md``."""
