package job

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// catchUp is how long the cache may take to show what was written. After that it is
// believed again: a status that it has no right to overwrite is refused in any case.
const catchUp = 5 * time.Second

// written remembers each job's status that the cache does not show yet. What is decided
// from an older one is refused as a conflict: a write for nothing, at each job's every step.
// A nil one remembers nothing.
type written struct {
	mutex sync.Mutex
	jobs  map[types.NamespacedName]version
}

// version of a job, when it was written.
type version struct {
	uid             types.UID
	resourceVersion string
	at              time.Time
}

func newWritten() *written { return &written{jobs: map[types.NamespacedName]version{}} }

// note what the API server has answered to a write.
func (w *written) note(job *v1alpha1.WorkspaceJob, now time.Time) {
	if w == nil {
		return
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.jobs[client.ObjectKeyFromObject(job)] = version{job.UID, job.ResourceVersion, now}
}

// unseen reports whether the job, as the cache has it, is older than what was written.
func (w *written) unseen(job *v1alpha1.WorkspaceJob, now time.Time) bool {
	if w == nil {
		return false
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	last, ok := w.jobs[client.ObjectKeyFromObject(job)]
	if !ok {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(job.ResourceVersion, last.resourceVersion)
	if err == nil && last.uid == job.UID && order < 0 && now.Sub(last.at) < catchUp {
		return true
	}
	delete(w.jobs, client.ObjectKeyFromObject(job))
	return false
}

// forget a job that is gone.
func (w *written) forget(name types.NamespacedName) {
	if w == nil {
		return
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	delete(w.jobs, name)
}
