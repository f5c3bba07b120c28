-- What the demo shows of a tenant's sessions before and after.
SELECT count(*),
       count(*) FILTER (WHERE acctstoptime < now() - interval '365 days'),
       count(*) FILTER (WHERE acctstoptime IS NULL),
       coalesce(sum(hashtextextended(radacct::text, 0)::numeric), 0)::text
FROM radacct;
