package cached

import (
	"encoding/json"
	"fmt"
	"runtime"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// finishedJob is a job as the API server sends it, once it has succeeded.
const finishedJob = `{"apiVersion":"jobs.openradius.io/v1alpha1","kind":"WorkspaceJob","metadata":{"name":"report-%08d",
"namespace":"workspace-acme","uid":"5c0e1f2a-7a4b-4d26-9d3d-%012d","resourceVersion":"%d","generation":1,
"creationTimestamp":"2026-03-01T12:00:00Z","labels":{"team":"billing"},
"managedFields":[{"manager":"kubectl","operation":"Apply","apiVersion":"jobs.openradius.io/v1alpha1","fieldsV1":{"f:spec":{"f:args":{},"f:handler":{}}}}]},
"spec":{"handler":"report","args":{"report":"daily","day":"2026-02-28"},"timeout":"10m","retry":{"limit":10,"minDelay":"15s","maxDelay":"2h","factor":2}},
"status":{"observedGeneration":1,"state":"Succeeded","queue":"workspace_acme","message":"attempt 1 succeeded","run":1,"runAttempts":1,
"conditions":[{"type":"Ready","status":"True","reason":"RunSucceeded","message":"attempt 1 succeeded","lastTransitionTime":"2026-03-01T12:00:05Z","observedGeneration":1},
{"type":"Succeeded","status":"True","reason":"RunSucceeded","message":"attempt 1 succeeded","lastTransitionTime":"2026-03-01T12:00:05Z","observedGeneration":1}],
"attempts":[{"number":1,"run":1,"job":"report-%08d-1","jobUID":"6d1f203b-8b5c-4e37-ae4e-%012d","createdAt":"2026-03-01T12:00:01Z","startedAt":"2026-03-01T12:00:02Z","finishedAt":"2026-03-01T12:00:05Z","outcome":"Succeeded","exitCode":0}],
"enqueuedAt":"2026-03-01T12:00:00Z","startedAt":"2026-03-01T12:00:02Z","finishedAt":"2026-03-01T12:00:05Z","result":{"rows":1200,"csv":"reports/daily.csv"}}}`

// TestAFinishedJobTakesLittleMemory measures the memory of ten thousand of them, as many as
// a tenant's default quota allows.
func TestAFinishedJobTakesLittleMemory(t *testing.T) { //nolint:paralleltest // others would allocate too
	const n, most = 10_000, 1536
	trimmer := newTrimmer()
	held := make([]client.Object, 0, n)
	before := testenv.Heap()
	for i := range n {
		job := &v1alpha1.WorkspaceJob{}
		if err := json.Unmarshal(fmt.Appendf(nil, finishedJob, i, i, i, i, i), job); err != nil {
			t.Fatal(err)
		}
		trimmer.cut(job)
		held = append(held, job)
	}
	each := (testenv.Heap() - before) / n
	t.Logf("%d bytes each", each)
	if each > most {
		t.Errorf("a finished job takes %d bytes, more than %d", each, most)
	}
	runtime.KeepAlive(held)
}
