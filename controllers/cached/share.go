package cached

import (
	"sync"
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// share returns a copy of the text that all equal texts share. Each decoded object has texts
// of its own, and most of them are those of many others: names of namespaces, keys of labels.
func share(text string) string { return unique.Make(text).Value() }

// sharedBytes holds one copy of each content.
type sharedBytes struct {
	mutex sync.Mutex
	known map[string][]byte
}

// maxShared bounds how many contents are remembered. The operator's own objects have a few
// dozen, and others may write more.
const maxShared = 1000

// of returns the copy of content that is shared. Nobody may change it.
func (s *sharedBytes) of(content []byte) []byte {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if known, ok := s.known[string(content)]; ok {
		return known
	}
	if s.known == nil || len(s.known) >= maxShared {
		s.known = map[string][]byte{}
	}
	s.known[string(content)] = content
	return content
}

// ownFields returns the operator's own entries: which fields it manages is the same in every
// workspace.
func (t *trimmer) ownFields(all []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	var own []metav1.ManagedFieldsEntry
	for i := range all {
		if all[i].Manager != v1alpha1.ManagedBy {
			continue
		}
		if fields := all[i].FieldsV1; fields != nil {
			fields.Raw = t.shared.of(fields.Raw)
		}
		own = append(own, all[i])
	}
	return own
}
