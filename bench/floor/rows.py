"""The floor's table and statements, and the kind of its queue."""

TABLE = """CREATE TABLE IF NOT EXISTS jobs (
    id uuid PRIMARY KEY, query bytea NOT NULL, answer bytea, create_time timestamptz NOT NULL DEFAULT now(),
    state smallint NOT NULL DEFAULT 1)"""
INSERT = "INSERT INTO jobs (id, query) SELECT * FROM unnest($1::uuid[], $2::bytea[])"
FINISH = """UPDATE jobs SET state = 3, answer = done.answer
    FROM unnest($1::uuid[], $2::bytea[]) AS done (id, answer) WHERE jobs.id = done.id"""
QUORUM = {"x-queue-type": "quorum"}
READ = "SELECT answer FROM jobs WHERE id = $1"
