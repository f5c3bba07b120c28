-- $1 sessions, evenly over the 18 months before now, the last 400 of them still open;
-- of those, the older half have had no update for over a day. $2 names the tenant.
-- The same numbers come out each time: they are hashes of the tenant and the session.
INSERT INTO radacct (
    acctsessionid, acctuniqueid, username, realm, nasipaddress, nasportid, nasporttype,
    acctstarttime, acctupdatetime, acctstoptime, acctinterval, acctsessiontime, acctauthentic,
    connectinfo_start, acctinputoctets, acctoutputoctets, calledstationid, callingstationid,
    acctterminatecause, servicetype, framedprotocol, framedipaddress)
SELECT
    to_hex(n), md5($2 || n), 'user' || h % 2000, $2 || '.example',
    '10.0.0.0'::inet + (h % 12)::bigint, 'port' || h % 48, 'Ethernet',
    start, coalesce(stop, heard), stop, 300, extract(epoch FROM coalesce(stop, heard) - start)::bigint, 'RADIUS',
    'PPPoE', h % 100000000, (h % 100000000) * 9, 'pop-' || h % 6,
    '02:00:' || substr(md5('mac' || h % 2000), 1, 2) || ':' || substr(md5('mac' || h % 2000), 3, 2)
        || ':' || substr(md5('mac' || h % 2000), 5, 2) || ':' || substr(md5('mac' || h % 2000), 7, 2),
    CASE WHEN stop IS NULL THEN NULL
         ELSE (ARRAY['User-Request', 'Session-Timeout', 'Lost-Carrier', 'NAS-Reboot'])[1 + h % 4] END,
    'Framed-User', 'PPP', '100.64.0.0'::inet + h % 4000000
FROM (
    SELECT n, h, start,
           CASE WHEN n <= $1 - 400 THEN least(start + length, now() - interval '1 second') END AS stop,
           CASE WHEN n <= $1 - 200 THEN now() - interval '30 hours' ELSE now() - interval '3 minutes' END AS heard
    FROM (
        SELECT n, h,
               CASE WHEN n <= $1 - 400
                    THEN now() - interval '18 months' * ((($1 - n)::double precision) / $1)
                    ELSE now() - interval '31 hours' - (h % 36000) * interval '1 second' END AS start,
               (60 + h % 20000) * interval '1 second' AS length
        FROM (SELECT n, hashtextextended($2 || n, 0) & 2147483647 AS h
              FROM generate_series(1, $1::bigint) AS n) AS numbered
    ) AS placed
) AS timed
-- None ended within an hour of a year ago: what is older than that doesn't depend on the
-- minute.
WHERE stop IS NULL OR stop NOT BETWEEN now() - interval '365 days 1 hour' AND now() - interval '364 days 23 hours';
