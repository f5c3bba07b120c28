package auth

import (
	"container/list"
	"sync"
	"time"
)

// memory remembers values for a while. Both its time and its size have limits, so that no
// number of callers fills the server.
type memory[K comparable, V any] struct {
	// life is how long a value is remembered, and limit how much all of them may measure.
	life  time.Duration
	limit int

	mutex   sync.Mutex
	entries map[K]*list.Element
	// order has the entries, the oldest first. All live equally long, so it is also the order
	// in which they expire.
	order *list.List
	size  int
}

type remembered[K comparable, V any] struct {
	key     K
	value   V
	size    int
	expires time.Time
}

func newMemory[K comparable, V any](life time.Duration, limit int) *memory[K, V] {
	return &memory[K, V]{life: life, limit: limit, entries: map[K]*list.Element{}, order: list.New()}
}

// get returns what is remembered under a key.
func (m *memory[K, V]) get(key K) (V, bool) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.expire()
	if element, ok := m.entries[key]; ok {
		return entryOf[K, V](element).value, true
	}
	var none V
	return none, false
}

// getOr returns what is remembered under a key, or remembers a new value of this size.
func (m *memory[K, V]) getOr(key K, size int, fresh func() V) V {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.expire()
	if element, ok := m.entries[key]; ok {
		return entryOf[K, V](element).value
	}
	value := fresh()
	m.put(key, value, size)
	return value
}

// add remembers a value of this size. The oldest ones make room for it.
func (m *memory[K, V]) add(key K, value V, size int) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.expire()
	m.put(key, value, size)
}

func (m *memory[K, V]) put(key K, value V, size int) {
	m.drop(m.entries[key])
	m.entries[key] = m.order.PushBack(&remembered[K, V]{key, value, size, time.Now().Add(m.life)})
	m.size += size
	for m.size > m.limit {
		m.drop(m.order.Front())
	}
}

func (m *memory[K, V]) remove(key K) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.drop(m.entries[key])
}

func (m *memory[K, V]) expire() {
	now := time.Now()
	for oldest := m.order.Front(); oldest != nil && !now.Before(entryOf[K, V](oldest).expires); oldest = m.order.Front() {
		m.drop(oldest)
	}
}

func (m *memory[K, V]) drop(element *list.Element) {
	if element == nil {
		return
	}
	entry := entryOf[K, V](element)
	m.order.Remove(element)
	delete(m.entries, entry.key)
	m.size -= entry.size
}

func entryOf[K comparable, V any](element *list.Element) *remembered[K, V] {
	return element.Value.(*remembered[K, V]) //nolint:forcetypeassert // order has nothing else
}
