package cached

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// share returns the one copy that all equal texts share. Each decoded object comes with copies
// of its own, and most of its texts occur in many others: names of namespaces, keys of labels.
func share(text string) string { return unique.Make(text).Value() }

// pool holds one copy of each value that many objects have.
type pool[T any] struct {
	// text is the same for equal values, and only for these.
	text  func(T) string
	mutex sync.Mutex
	known map[string]T
}

// maxShared bounds how many values are remembered. The operator's own objects have a few
// dozen, and others may write more.
const maxShared = 1000

// of returns the copy of the value that is shared. Nobody may change it.
func (s *pool[T]) of(value T) T {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	text := s.text(value)
	if known, ok := s.known[text]; ok {
		return known
	}
	if s.known == nil || len(s.known) >= maxShared {
		s.known = map[string]T{}
	}
	s.known[text] = value
	return value
}

// textOf returns a list of resources as text, sorted by their names.
func textOf(list corev1.ResourceList) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(list)) {
		fmt.Fprintf(&text, "%q=%s,", name, new(list[name]).String())
	}
	return text.String()
}

// ownFields returns the operator's own entries: which fields it manages is the same in every
// workspace.
func (t *trimmer) ownFields(all []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	var own []metav1.ManagedFieldsEntry
	for i := range all {
		if all[i].Manager != v1alpha1.ManagedBy {
			continue
		}
		if all[i].FieldsV1 != nil {
			all[i].FieldsV1 = t.fields.of(all[i].FieldsV1)
		}
		own = append(own, all[i])
	}
	return own
}
