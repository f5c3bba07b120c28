package e2e

import (
	"fmt"
	"testing"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	createSpans = `CREATE TABLE spans (key text NOT NULL, began timestamptz NOT NULL DEFAULT clock_timestamp(), ended timestamptz)`
	// mostAtOnce is the maximum number of jobs that were in the database at the same time, of
	// all jobs and of those with the key.
	mostAtOnce = `SELECT max(n), max(same) FROM (
		SELECT count(*) AS n, count(*) FILTER (WHERE a.key = b.key AND a.key <> '') AS same
		FROM spans a JOIN spans b ON b.began <= a.began AND a.began < b.ended GROUP BY a.ctid) AS counts`
)

// TestTheQueueHoldsItsLimitWhenItsLeaderIsKilled checks in the database how many jobs ran at
// the same time. It is not parallel, since it kills the operator.
func TestTheQueueHoldsItsLimitWhenItsLeaderIsKilled(t *testing.T) {
	const jobs, limit = 12, 3
	tn := newTenant(t, "queue-limit", func(ws *v1alpha1.Workspace) { ws.Spec.Concurrency = new(int32(limit)) })
	tn.exec(createSpans)
	// The first jobs wait at it until everything about the waiting ones is seen.
	barrier := tn.closeBarrier()
	for i := range jobs {
		// A free slot goes to the job that the operator sees first.
		if i == limit {
			barrier.waitFor(limit)
		}
		// Every third job has the same key.
		key := ""
		if i%3 == 0 {
			key = "billing"
		}
		tn.start(tn.makeSQL(fmt.Sprintf("job-%02d", i),
			fmt.Sprintf("INSERT INTO spans (key) VALUES ('%s')", key), passBarrier, "SELECT pg_sleep(2)",
			"UPDATE spans SET ended = clock_timestamp() WHERE ended IS NULL").ConcurrencyKey(key))
	}
	waiting := tn.waitJob("job-11", "it waits", func(job *v1alpha1.WorkspaceJob) bool { return job.Status.Message != "" })
	wantWords(t, "a waiting job", waiting.Status.Message, "queue workspace_queue-limit", "at most 3 jobs", "ahead of it")
	killOperator(t)
	barrier.lift()
	for i := range jobs {
		job := tn.waitFinal(fmt.Sprintf("job-%02d", i), v1alpha1.StateSucceeded)
		wantAttempts(t, job, v1alpha1.OutcomeSucceeded)
	}
	var atOnce, ofAKey int
	if err := tn.db.QueryRow(t.Context(), mostAtOnce).Scan(&atOnce, &ofAKey); err != nil {
		t.Fatal(err)
	}
	if atOnce > limit || ofAKey > 1 {
		t.Errorf("%d jobs ran at once, and %d with the key; the limits are %d and 1", atOnce, ofAKey, limit)
	}
	if atOnce < limit {
		t.Errorf("only %d of %d slots were used", atOnce, limit)
	}
	if n := tn.count("SELECT count(*) FROM spans"); n != jobs {
		t.Errorf("%d jobs took effect %d times", jobs, n)
	}
}
