package report

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// catchUp is how long the cache may take to show what was written. After that it is trusted
// again. That is safe: a status decided from a stale object is refused as a conflict.
const catchUp = 5 * time.Second

// written remembers the statuses that the cache may not show yet. A status decided from an
// older one would be refused as a conflict: a wasted write at each step of an object.
type written struct {
	clock   clock.PassiveClock
	mutex   sync.Mutex
	objects map[types.NamespacedName]version
}

// version is an object's version and when it was written.
type version struct {
	uid     types.UID
	version string
	at      time.Time
}

func (w *written) note(object client.Object) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.objects == nil {
		w.objects = map[types.NamespacedName]version{}
	}
	w.objects[client.ObjectKeyFromObject(object)] = version{object.GetUID(), object.GetResourceVersion(), w.clock.Now()}
}

func (w *written) unseen(object client.Object) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	last, ok := w.objects[client.ObjectKeyFromObject(object)]
	if !ok {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(object.GetResourceVersion(), last.version)
	if err == nil && order < 0 && last.uid == object.GetUID() && w.clock.Since(last.at) < catchUp {
		return true
	}
	delete(w.objects, client.ObjectKeyFromObject(object))
	return false
}

func (w *written) forget(name types.NamespacedName) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	delete(w.objects, name)
}
