-- Usage by access server, from FreeRADIUS's accounting table. A session counts in
-- the period in which it started.
SELECT host(nasipaddress) AS nas,
       count(*) AS sessions,
       count(DISTINCT username) AS users,
       coalesce(sum(acctinputoctets), 0)::bigint AS octets_in,
       coalesce(sum(acctoutputoctets), 0)::bigint AS octets_out,
       coalesce(sum(acctsessiontime), 0)::bigint AS seconds
FROM radacct
WHERE acctstarttime >= $1 AND acctstarttime < $2
GROUP BY nasipaddress
ORDER BY nasipaddress
