-- +goose Up

-- One row for each WorkspaceJob.
CREATE TABLE ledger.jobs (
    id         uuid PRIMARY KEY,
    name       text NOT NULL CHECK (name <> ''),
    workspace  text NOT NULL CHECK (workspace <> ''),
    queue      text NOT NULL CHECK (queue <> ''),
    handler    text NOT NULL CHECK (handler <> ''),
    -- json, not jsonb: arguments are kept as they were given.
    args       json NOT NULL CHECK (json_typeof(args) = 'object'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX jobs_created_at ON ledger.jobs (created_at);

-- One row for each run of a job. A run takes effect once. The runner that holds the
-- lease, under the newest token, works on it.
CREATE TABLE ledger.runs (
    job_id           uuid NOT NULL REFERENCES ledger.jobs ON DELETE CASCADE,
    run              integer NOT NULL CHECK (run >= 1),
    -- Processing: leased. Scheduled: not leased, another attempt may follow.
    state            text NOT NULL CHECK (state IN ('Processing', 'Scheduled', 'Succeeded', 'Failed')),
    attempt          integer NOT NULL CHECK (attempt >= 1),
    token            bigint NOT NULL CHECK (token >= 1),
    lease_expires_at timestamptz,
    heartbeat_at     timestamptz,
    result           json,
    started_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at      timestamptz,
    PRIMARY KEY (job_id, run),
    CONSTRAINT runs_leased_while_processing CHECK ((state = 'Processing') = (lease_expires_at IS NOT NULL)),
    CONSTRAINT runs_finished CHECK ((state IN ('Succeeded', 'Failed')) = (finished_at IS NOT NULL)),
    CONSTRAINT runs_result_of_success CHECK (result IS NULL OR state = 'Succeeded')
);
-- One run of a job at a time.
CREATE UNIQUE INDEX runs_one_processing ON ledger.runs (job_id) WHERE state = 'Processing';

-- One row for each time that a process acquired a run's lease.
CREATE TABLE ledger.attempts (
    job_id      uuid NOT NULL,
    run         integer NOT NULL,
    token       bigint NOT NULL CHECK (token >= 1),
    attempt     integer NOT NULL CHECK (attempt >= 1),
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    outcome     text CHECK (outcome IN ('Succeeded', 'Failed', 'FailedForGood', 'Later', 'TimedOut', 'Interrupted', 'Lost')),
    error       text,
    PRIMARY KEY (job_id, run, token),
    FOREIGN KEY (job_id, run) REFERENCES ledger.runs ON DELETE CASCADE,
    CONSTRAINT attempts_finished CHECK ((outcome IS NULL) = (finished_at IS NULL)),
    CONSTRAINT attempts_error_of_failure CHECK ((error IS NULL) = (outcome IS NULL OR outcome = 'Succeeded'))
);
CREATE UNIQUE INDEX attempts_one_success ON ledger.attempts (job_id, run) WHERE outcome = 'Succeeded';
CREATE UNIQUE INDEX attempts_one_open ON ledger.attempts (job_id, run) WHERE outcome IS NULL;

-- Every state that a run has been in.
CREATE TABLE ledger.run_states (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id  uuid NOT NULL,
    run     integer NOT NULL,
    token   bigint NOT NULL,
    attempt integer NOT NULL,
    state   text NOT NULL CHECK (state IN ('Processing', 'Scheduled', 'Succeeded', 'Failed')),
    reason  text NOT NULL DEFAULT '',
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (job_id, run) REFERENCES ledger.runs ON DELETE CASCADE
);
CREATE INDEX run_states_of_run ON ledger.run_states (job_id, run);

-- How far a run has come, written in the transaction that got it there.
CREATE TABLE ledger.checkpoints (
    job_id   uuid NOT NULL,
    run      integer NOT NULL,
    token    bigint NOT NULL,
    value    json NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (job_id, run),
    FOREIGN KEY (job_id, run) REFERENCES ledger.runs ON DELETE CASCADE
);

-- The workspace's own queries for the handler "report", by name.
CREATE TABLE ledger.report_queries (
    name        text PRIMARY KEY CHECK (name <> ''),
    query       text NOT NULL CHECK (query <> ''),
    description text NOT NULL DEFAULT ''
);

-- The reports of the handler "report": one row for each report and period.
CREATE TABLE ledger.reports (
    id           text NOT NULL CHECK (id <> ''),
    period_start timestamptz NOT NULL,
    period_end   timestamptz NOT NULL CHECK (period_end > period_start),
    query        text NOT NULL,
    generated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    row_count    integer NOT NULL CHECK (row_count >= 0),
    csv          text NOT NULL,
    json         json NOT NULL,
    PRIMARY KEY (id, period_start, period_end)
);

-- What the handler "external-sync" knows about the pages that it has read.
CREATE TABLE ledger.sync_pages (
    source  text NOT NULL,
    page    text NOT NULL,
    etag    text NOT NULL CHECK (etag <> ''),
    next    text NOT NULL,
    read_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (source, page)
);
