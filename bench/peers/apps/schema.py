"""The table of jobs and their results."""

CREATE = (
    # Processes that start together would both find no table, and one of them would fail.
    "SELECT pg_advisory_xact_lock(1)",
    """
    CREATE TABLE IF NOT EXISTS recommendations (
        id uuid PRIMARY KEY, item text NOT NULL, "limit" int NOT NULL, state text NOT NULL DEFAULT 'queued',
        results jsonb, create_time timestamptz NOT NULL DEFAULT now())
    """,
)
