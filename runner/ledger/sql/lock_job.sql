-- Claims of a job's runs wait for each other here.
SELECT FROM ledger.jobs WHERE id = $1::uuid FOR NO KEY UPDATE
