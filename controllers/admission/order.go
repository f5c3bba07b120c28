package admission

import (
	"cmp"
	"slices"
)

// order compares two entries: priority, then first come, first served. Times in the API
// have whole seconds, so names decide between jobs of the same second.
func order(a, b *Entry) int {
	return cmp.Or(
		-cmp.Compare(a.Priority, b.Priority),
		a.Due.Compare(b.Due),
		a.Created.Compare(b.Created),
		cmp.Compare(a.Name, b.Name),
	)
}

// line holds the waiting jobs in their order.
type line struct {
	entries []*Entry
	byName  map[string]*Entry
}

// put adds an entry, or moves it if its priority or its time has changed.
func (l *line) put(e Entry) {
	if known := l.byName[e.Name]; known != nil {
		if order(known, &e) == 0 {
			*known = e
			return
		}
		l.drop(e.Name)
	}
	if l.byName == nil {
		l.byName = map[string]*Entry{}
	}
	at, _ := slices.BinarySearchFunc(l.entries, &e, order)
	l.entries = slices.Insert(l.entries, at, &e)
	l.byName[e.Name] = &e
}

func (l *line) drop(name string) {
	known := l.byName[name]
	if known == nil {
		return
	}
	at := l.before(known)
	l.entries = slices.Delete(l.entries, at, at+1)
	delete(l.byName, name)
}

// before counts the entries before e, which waits.
func (l *line) before(e *Entry) int {
	at, _ := slices.BinarySearchFunc(l.entries, e, order)
	return at
}
