package job

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

var errDied = errors.New("the operator died")

// dyingClient does what an operator sees that dies around every write it makes:
// the first try of each write is not sent, the second is sent but its answer never
// arrives, and only the third is as usual. The reconciler keeps nothing in memory,
// so to it an error and a new process are the same.
func dyingClient(c client.Client) client.Client {
	return &dying{Client: c, deaths: &deaths{counts: map[string]int{}}}
}

// healthyNamespace is for tests of events: they are sent after the write that they
// tell of, so an operator that dies in between has not sent them.
const healthyNamespace = "healthy"

type deaths struct {
	sync.Mutex
	counts map[string]int
}

func (d *deaths) around(write string, send func() error) error {
	if strings.Contains(write, " "+healthyNamespace+"/") {
		return send()
	}
	d.Lock()
	d.counts[write]++
	count := d.counts[write] % 3
	d.Unlock()
	if count == 1 {
		return errDied
	}
	err := send()
	if count == 2 && err == nil {
		return errDied
	}
	return err
}

type dying struct {
	client.Client
	*deaths
}

func (d *dying) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	return d.around("create "+key(object), func() error { return d.Client.Create(ctx, object, options...) })
}

func (d *dying) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.PatchOption) error {
	return d.around("patch "+key(object), func() error { return d.Client.Patch(ctx, object, patch, options...) })
}

func (d *dying) Delete(ctx context.Context, object client.Object, options ...client.DeleteOption) error {
	return d.around("delete "+key(object), func() error { return d.Client.Delete(ctx, object, options...) })
}

func (d *dying) Status() client.SubResourceWriter {
	return &dyingStatus{SubResourceWriter: d.Client.Status(), deaths: d.deaths}
}

type dyingStatus struct {
	client.SubResourceWriter
	*deaths
}

func (d *dyingStatus) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	return d.around("status of "+key(object), func() error { return d.SubResourceWriter.Patch(ctx, object, patch, options...) })
}

func key(object client.Object) string { return client.ObjectKeyFromObject(object).String() }

// laggingClient reads everything as it was when it was made.
type laggingClient struct {
	client.Client
	job *v1alpha1.WorkspaceJob
}

func (l *laggingClient) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	switch typed := object.(type) {
	case *v1alpha1.WorkspaceJob:
		l.job.DeepCopyInto(typed)
		return nil
	case *batchv1.Job:
		// As if the watch had not told of it yet.
		key.Name = "not-in-the-cache"
	}
	return l.Client.Get(ctx, key, object, options...)
}

// TestALaggingCacheStartsNothingTwice has the reconciler see, again and again, the
// job as it was before anything happened, and none of its Jobs.
func TestALaggingCacheStartsNothingTwice(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "lagging")
	c.submit("nightly", nil)
	first := c.get("nightly")
	first.Status = v1alpha1.WorkspaceJobStatus{ObservedGeneration: -1}
	c.end("nightly", 1, 0, `{"result":1}`)
	done := c.waitFor("nightly", v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)

	lagging := *operator.reconciler
	lagging.Client = &laggingClient{Client: operator.reconciler.Client, job: first}
	for range 5 {
		// An error is as good as a conflict here; what counts is what is left.
		_, _ = lagging.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(first)})
	}
	if n := c.jobs(); n != 1 {
		t.Errorf("%d Jobs for one attempt", n)
	}
	if now := c.get("nightly"); !equality.Semantic.DeepEqual(now.Status, done.Status) {
		t.Errorf("a stale look changed the status to %+v", now.Status)
	}
}
