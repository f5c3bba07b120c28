package cached

import (
	"sync"
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// share returns the one copy that all equal texts share. Each decoded object comes with copies
// of its own, and most of its texts occur in many others: names of namespaces, keys of labels.
func share(text string) string { return unique.Make(text).Value() }

// sharedFields holds one copy of each set of managed fields.
type sharedFields struct {
	mutex sync.Mutex
	known map[string]*metav1.FieldsV1
}

// maxShared bounds how many sets are remembered. The operator's own objects have a few
// dozen, and others may write more.
const maxShared = 1000

// of returns the shared copy of fields, which must not be changed.
func (s *sharedFields) of(fields *metav1.FieldsV1) *metav1.FieldsV1 {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	text := fields.GetRawString()
	if known, ok := s.known[text]; ok {
		return known
	}
	if s.known == nil || len(s.known) >= maxShared {
		s.known = map[string]*metav1.FieldsV1{}
	}
	s.known[text] = fields
	return fields
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
			all[i].FieldsV1 = t.shared.of(all[i].FieldsV1)
		}
		own = append(own, all[i])
	}
	return own
}
