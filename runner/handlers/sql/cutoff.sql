-- In UTC, so that a day has 24 hours whatever the session's time zone is.
SELECT (($1::timestamptz AT TIME ZONE 'UTC')
        - make_interval(months => $2::int, days => $3::int, secs => $4::double precision)) AT TIME ZONE 'UTC'
