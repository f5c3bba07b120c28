"""Handlers that end in every possible way, for the tests of docs/examples/runner-python."""

import os
import time
from datetime import timedelta

import workspace_jobs
from workspace_jobs import Later, Permanent, log, main


def add(cursor, job):
    cursor.execute("INSERT INTO effects (job, run, attempt) VALUES (%s, %s, %s)", (job.id, job.run, job.attempt))


def done(cursor, job):
    add(cursor, job)
    return {"attempt": job.attempt, "text": "žluťoučký"}


def permanent(cursor, job):
    add(cursor, job)
    raise Permanent("no such customer")


def later(cursor, job):
    add(cursor, job)
    raise Later("the other side is busy", timedelta(seconds=90))


def broken(cursor, job):
    add(cursor, job)
    raise ValueError("x" * 9000)


def leak(cursor, job):
    add(cursor, job)
    url = os.environ["DATABASE_URL"]
    log("connecting", url=url, password=url.split(":")[2].split("@")[0])
    raise RuntimeError(f"can't connect to {url}")


def large(cursor, job):
    add(cursor, job)
    return "x" * 4000


def commits(cursor, job):
    cursor.connection.commit()
    cursor.execute("SELECT 1")


def wait(cursor, job):
    """Wait in the database, for longer than any test."""
    add(cursor, job)
    log("waiting")
    cursor.execute("SELECT pg_sleep(600)")


def think(cursor, job):
    """Wait in Python, until a file exists."""
    add(cursor, job)
    log("thinking")
    while not os.path.exists(job.args["until"]):
        time.sleep(0.02)


workspace_jobs.IDLE_LIMIT = int(os.environ.get("TEST_IDLE_LIMIT", workspace_jobs.IDLE_LIMIT))
main({f.__name__: f for f in (done, permanent, later, broken, leak, large, commits, wait, think)})
