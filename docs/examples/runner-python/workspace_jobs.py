"""The runner contract of Workspace Jobs (docs/runner-contract.md) for handlers in Python.

It needs Python 3.9 and psycopg 3. A program that calls main() with its handlers is a
runner; see runner.py.

Every run (JOB_ID and JOB_RUN) takes effect once. This needs one table,
<LEDGER_SCHEMA>.python_runs, and one transaction for each run:

    acquire a lock that all processes of the job wait for
    if this run has succeeded, stop here
    run the handler
    record that the run has succeeded
    COMMIT, which also releases the lock

Effect and success commit together, and only a process whose session still holds the lock
can commit at all. A process that hangs loses its session after IDLE_LIMIT.
"""

import json
import os
import re
import signal
import sys
import time
import traceback
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import quote, unquote

import psycopg
from psycopg import sql

# Exit codes of the contract.
DONE, FAILED, USAGE, PERMANENT, LATER, TIMEOUT, INTERRUPTED = 0, 1, 64, 65, 75, 124, 143

# How long a handler may go without a statement, in milliseconds. After that PostgreSQL ends
# the session, which releases the lock of a process that is frozen or on a lost node.
IDLE_LIMIT = 60_000

MAX_MESSAGE, MAX_RESULT = 4096, 4000  # bytes
SCHEMA_VERSION = 1
TABLE = "python_runs"


class Usage(Exception):
    """Arguments that the handler can't work with: the job fails permanently."""


class Permanent(Exception):
    """A failure that no retry can fix: the job fails permanently."""


class Later(Exception):
    """Retry after a delay, or after the retry policy's delay if there is none."""

    def __init__(self, text, delay=None):
        super().__init__(text)
        self.delay = delay  # a timedelta


class Stop(BaseException):
    """SIGTERM, or the end of JOB_TIMEOUT. No handler should catch it."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Job:
    """The run that a handler is called for."""

    id: str
    run: int
    attempt: int
    name: str
    workspace: str
    queue: str
    handler: str
    args: dict
    # When the run's first attempt began, by the database's clock. Use it as "now", so that
    # a retry means the same days.
    started_at: datetime = None


def main(handlers):
    """Run the command in the one argument, with the environment of the contract, and exit.

    handlers are functions by name. Each is called with a cursor in the run's transaction,
    which it must not end, and a Job. What it returns, if anything, is the job's result.
    """
    signal.signal(signal.SIGTERM, _on_signal)
    signal.signal(signal.SIGALRM, _on_signal)
    try:
        message = _command(handlers)
        code = DONE
    except Stop as stop:
        code, message = stop.code, {"error": str(stop)}
    except Usage as error:
        code, message = USAGE, {"error": str(error)}
    except Permanent as error:
        code, message = PERMANENT, {"error": str(error)}
    except Later as error:
        code, message = LATER, {"error": str(error)}
        if error.delay is not None:
            message["retryAfter"] = f"{max(0, round(error.delay.total_seconds() * 1000))}ms"
    except Exception as error:  # a fault of the handler or of the database: retry
        log("exception", traceback=traceback.format_exc())
        code, message = FAILED, {"error": f"{type(error).__name__}: {error}".strip()}
    _ignore_signals()
    log("succeeded" if code == DONE else "failed", exitCode=code, **message)
    _write(message)
    sys.exit(code)


def log(text, **fields):
    """Write one line of JSON to standard output. Never log a secret."""
    print(_redact(json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "msg": text, **fields}, default=str)), flush=True)


def _on_signal(number, _frame):
    if number == signal.SIGALRM:
        raise Stop(TIMEOUT, f"the attempt took longer than its timeout, {os.environ['JOB_TIMEOUT']}")
    raise Stop(INTERRUPTED, "interrupted by SIGTERM; everything uncommitted was rolled back")


def _ignore_signals():
    """Block signals once it is decided how the process ends."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGALRM})


def _command(handlers):
    if len(sys.argv) != 2 or sys.argv[1] not in ("run", "migrate"):
        raise Usage("the one argument must be run or migrate")
    if sys.argv[1] == "migrate":
        connection = _connect("migrate")
        try:
            return _migrate(connection)
        finally:
            connection.close()
    job = _job()
    if job.handler not in handlers:
        raise Usage(f"this image does not have the job's handler; it has {', '.join(sorted(handlers))}")
    _start_clock()
    connection = _connect(job.id)
    try:
        return _run(connection, job, handlers[job.handler])
    except Stop:
        _cancel(connection)
        raise
    finally:
        connection.close()  # what is not committed is rolled back


# The transaction of a run.


def _run(connection, job, handler):
    runs = sql.Identifier(_environment("LEDGER_SCHEMA"), TABLE)
    cursor = connection.cursor()
    # Recorded before anything else, so that an older run of the job sees that it is over.
    cursor.execute(
        sql.SQL("INSERT INTO {} (job, run, name) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING").format(runs),
        (job.id, job.run, job.name),
    )
    connection.commit()

    # For this transaction only: with a pooler, others use the session afterwards.
    cursor.execute("SELECT set_config('idle_in_transaction_session_timeout', %s, true)", (str(IDLE_LIMIT),))
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{TABLE} {job.id}",))
    cursor.execute(
        sql.SQL(
            "SELECT run, started_at, finished_at IS NOT NULL, result FROM {} WHERE job = %s AND run >= %s ORDER BY run"
        ).format(runs),
        (job.id, job.run),
    )
    (_, started_at, finished, result), *newer = cursor.fetchall()
    if finished:
        _ignore_signals()
        log("the run has succeeded before; nothing to do", run=job.run)
        return _message(result)
    if newer:
        raise Permanent(f"run {newer[-1][0]} of this job has begun; this is run {job.run}")

    transaction = _transaction(cursor)
    log("started", handler=job.handler, run=job.run, attempt=job.attempt)
    message = _message(_checked(handler(cursor, replace(job, started_at=started_at))))
    if _transaction(cursor) != transaction:
        raise Permanent("the handler has ended its transaction, which only the runner may do: remove its COMMIT or ROLLBACK")
    cursor.execute(
        sql.SQL(
            "UPDATE {} SET finished_at = clock_timestamp(), attempt = %s, result = %s WHERE job = %s AND run = %s"
        ).format(runs),
        (job.attempt, json.dumps(message["result"]) if message else None, job.id, job.run),
    )
    # A signal between here and the database's answer must not make this process report that
    # nothing was committed.
    _ignore_signals()
    connection.commit()
    return message


def _transaction(cursor):
    return cursor.execute("SELECT pg_current_xact_id()::text").fetchone()


def _checked(result):
    """Return a handler's result, if it can be a job's result."""
    try:
        size = len(_encoded(result))
    except (TypeError, ValueError) as error:
        raise Permanent(f"the handler's result can't be encoded as JSON: {error}") from error
    if size > MAX_RESULT:
        raise Permanent(f"the result is {size} bytes long; at most {MAX_RESULT} fit: store the rest in the database")
    return result


def _message(result):
    return {} if result is None else {"result": result}


# The database.


def _connect(who):
    url = _environment("DATABASE_URL")
    try:
        options = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        raise Usage("DATABASE_URL is not a PostgreSQL connection URL") from None  # its text has the password
    # prepare_threshold: no prepared statements, for poolers in transaction mode.
    options = {"connect_timeout": 10, "application_name": f"workspace-jobs/{who}", **options}
    connection = psycopg.connect(prepare_threshold=None, **options)
    # A process that has waited for the lock must see what was committed meanwhile.
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    if os.environ.get("DATABASE_ALLOW_SUPERUSER") != "true":
        _refuse_powerful_role(connection)
    return connection


def _refuse_powerful_role(connection):
    """Refuse a role that is not limited to its own database; see docs/database.md."""
    row = connection.execute(
        """SELECT session_user, rolname FROM pg_roles
        WHERE (rolsuper OR rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files'))
          AND pg_has_role(session_user, oid, 'MEMBER')
        ORDER BY rolname = session_user DESC LIMIT 1"""
    ).fetchone()
    connection.rollback()
    if row is not None:
        connection.close()
        raise Usage(
            f"the database role {row[0]} is refused: it has the rights of {row[1]}, which reach beyond its database;"
            " use a role without them, or have an admin set database.allowSuperuser"
        )


def _migrate(connection):
    schema = _environment("LEDGER_SCHEMA")
    cursor = connection.cursor()
    # Without the lock, one of two concurrent CREATE IF NOT EXISTS may fail.
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{TABLE} migrate {schema}",))
    cursor.execute(
        """SELECT relname FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %s)
        AND relkind IN ('r', 'p', 'v', 'm', 'f') AND relname <> %s ORDER BY relname LIMIT 1""",
        (schema, TABLE),
    )
    other = cursor.fetchone()
    if other is not None:
        raise Permanent(
            f"the schema {schema} has {other[0]}, which does not belong to this runner:"
            " give the workspace a schema of its own in spec.database.schema"
        )
    cursor.execute("SELECT FROM pg_namespace WHERE nspname = %s", (schema,))
    if cursor.fetchone() is None:  # CREATE … IF NOT EXISTS needs the right to create even if it exists
        cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    cursor.execute(
        sql.SQL(
            """CREATE TABLE IF NOT EXISTS {} (
                job         uuid NOT NULL,
                run         integer NOT NULL CHECK (run >= 1),
                name        text NOT NULL,
                started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
                finished_at timestamptz,
                attempt     integer,
                result      json,
                PRIMARY KEY (job, run)
            )"""
        ).format(sql.Identifier(schema, TABLE))
    )
    connection.commit()
    return {"result": {"schemaVersion": SCHEMA_VERSION}}


def _cancel(connection):
    """Cancel the statement that runs on the server. Closing alone would not stop it."""
    try:
        connection.cancel()
    except psycopg.Error as error:
        log("could not cancel the statement", error=str(error))


# The environment and the termination message.


def _job():
    try:
        args = json.loads(os.environ.get("JOB_ARGS") or "{}")
    except ValueError:
        args = None
    if not isinstance(args, dict):
        raise Usage("JOB_ARGS is not a JSON object")
    return Job(
        id=_environment("JOB_ID"),
        run=_number("JOB_RUN"),
        attempt=_number("JOB_ATTEMPT"),
        name=_environment("JOB_NAME"),
        workspace=_environment("JOB_WORKSPACE"),
        queue=_environment("JOB_QUEUE"),
        handler=_environment("JOB_HANDLER"),
        args=args,
    )


def _environment(name):
    value = os.environ.get(name)
    if not value:
        raise Usage(f"{name} is not set: start this program with Workspace Jobs, or as its README says")
    return value


def _number(name):
    text = _environment(name)
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise Usage(f"{name} is {text!r}; it must be a whole number of at least 1")
    return int(text)


def duration(text):
    """Parse a duration as Go and Kubernetes write it, such as 1h30m, to a timedelta."""
    units = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
    if not re.fullmatch(r"([0-9]+(\.[0-9]+)?(h|ms|m|s|us|µs|ns))+", text):
        raise Usage(f"{text!r} is not a duration such as 1h30m")
    return timedelta(seconds=sum(float(n) * units[unit] for n, _, unit in re.findall(r"([0-9]+(\.[0-9]+)?)(h|ms|m|s|us|µs|ns)", text)))


def _start_clock():
    text = os.environ.get("JOB_TIMEOUT")
    if text:
        # 0 would mean no limit.
        signal.setitimer(signal.ITIMER_REAL, max(0.001, duration(text).total_seconds()))


def _write(message):
    """Write the termination message, unless there is no file for it: then this is not a pod."""
    path = os.environ.get("JOB_MESSAGE_PATH") or "/dev/termination-log"
    text = _encoded(message)
    while len(text) > MAX_MESSAGE:
        message = {**message, "error": message["error"][: len(message["error"]) * 9 // 10 - 1] + "…"}
        text = _encoded(message)
    try:
        with open(path, "r+b") as file:
            file.truncate()
            file.write(text)
    except FileNotFoundError:
        pass
    except OSError as error:
        log("could not write the termination message", error=str(error))


def _encoded(value):
    """Encode to compact JSON, without the database's password."""
    return _redact(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))).encode("utf-8", "replace")


def _redact(text):
    """Remove the database's password. This is the last line of defence, not the first."""
    url = os.environ.get("DATABASE_URL", "")
    secrets = {url, *re.findall(r"://[^:@/]*:(.*)@", url)}
    try:
        options = psycopg.conninfo.conninfo_to_dict(url)
        secrets |= {options.get("password") or "", options.get("sslpassword") or ""}
    except psycopg.Error:
        pass  # then the secrets that are written in the URL are all there are
    secrets |= {unquote(secret) for secret in secrets}
    for secret in sorted(secrets, key=len, reverse=True):
        for written in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], quote(secret, safe="", errors="replace"), secret):
            if len(secret) >= 4:  # shorter ones would match parts of ordinary words
                text = text.replace(written, "[redacted]")
    return text
