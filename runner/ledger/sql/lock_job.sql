-- Who wants one of a job's runs waits here for the others that do.
SELECT FROM ledger.jobs WHERE id = $1::uuid FOR NO KEY UPDATE
