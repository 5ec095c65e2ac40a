"""The de-identification log: embedded (SQLite), for many writers (PostgreSQL), or a site's service; port in model."""
