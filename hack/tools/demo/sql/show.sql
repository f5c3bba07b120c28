-- What the demo shows of a tenant's database after the jobs.
\echo 'Tables that were synced:'
SELECT (SELECT count(*) FROM plans) AS plans, count(*) AS prices, min(cents) AS lowest, max(cents) AS highest FROM prices;
\echo 'Reports:'
SELECT id, to_char(period_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS from_utc,
       to_char(period_end AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS to_utc, row_count AS rows,
       split_part(csv, E'\n', 1) AS columns, split_part(csv, E'\n', 2) AS first
FROM hangfire.reports ORDER BY id, period_start;
\echo 'The ledger, its runs:'
SELECT j.name, j.handler, r.run, r.state, count(*) AS attempts, left(r.result::text, 90) AS result
FROM hangfire.jobs j
JOIN hangfire.runs r ON r.job_id = j.id
JOIN hangfire.attempts a ON a.job_id = r.job_id AND a.run = r.run
GROUP BY j.id, r.job_id, r.run ORDER BY j.name;
\echo 'The ledger, attempts that failed:'
SELECT j.name, a.attempt, to_char(a.started_at, 'HH24:MI:SS') AS started, a.outcome, left(a.error, 110) AS error
FROM hangfire.attempts a JOIN hangfire.jobs j ON j.id = a.job_id
WHERE a.error IS NOT NULL ORDER BY a.token;
