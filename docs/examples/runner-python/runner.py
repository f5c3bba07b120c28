"""The program of a runner image, with its handlers. Use it as a starting point for your own."""

from urllib.error import HTTPError
from urllib.request import Request, urlopen

from workspace_jobs import Later, Permanent, Usage, duration, log, main


def close_sessions(cursor, job):
    """Close the sessions without an update for args.idle, such as 2h.

    Everything it does is in the run's transaction, so it takes effect once.
    """
    if set(job.args) != {"idle"} or not isinstance(job.args["idle"], str):
        raise Usage('the arguments must be {"idle": a duration such as "2h"}')
    # Not the database's now(): a retry tomorrow should close the same sessions.
    before = job.started_at - duration(job.args["idle"])
    cursor.execute(
        "UPDATE radacct SET acctstoptime = acctupdatetime WHERE acctstoptime IS NULL AND acctupdatetime < %s", (before,)
    )
    log("sessions closed", sessions=cursor.rowcount)
    return {"closed": cursor.rowcount}


def notify(cursor, job):
    """Post the number of open sessions to another service, at args.url.

    A request can't be rolled back. If the process dies between the request and the commit,
    the next attempt sends it again. By the key the receiver sees that it is the same one.
    """
    if set(job.args) != {"url"}:
        raise Usage('the arguments must be {"url": where to POST to}')
    cursor.execute("SELECT count(*) FROM radacct WHERE acctstoptime IS NULL")
    (count,) = cursor.fetchone()
    request = Request(
        job.args["url"], data=b'{"open": %d}' % count, method="POST",
        headers={"Content-Type": "application/json", "Idempotency-Key": f"{job.id}/{job.run}"},
    )  # fmt: skip
    try:
        # Well below IDLE_LIMIT, since the transaction is open meanwhile.
        with urlopen(request, timeout=20) as answer:
            return {"status": answer.status, "open": count}
    except HTTPError as error:
        if error.code == 429 or error.code >= 500:
            wait = error.headers.get("Retry-After", "")
            raise Later(f"the receiver answered {error.code}", duration(wait + "s") if wait.isdigit() else None) from error
        raise Permanent(f"the receiver answered {error.code}: check args.url") from error


if __name__ == "__main__":
    main({"close-sessions": close_sessions, "notify": notify})
