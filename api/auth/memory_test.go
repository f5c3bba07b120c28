package auth

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory[string, int](time.Minute, 10)
		expect := func(want map[string]int, size int) {
			t.Helper()
			for key, value := range want {
				if got, ok := m.get(key); got != value || ok != (value != 0) {
					t.Errorf("%s is %d, %t", key, got, ok)
				}
			}
			if m.size != size || len(m.entries) != m.order.Len() {
				t.Errorf("it holds %d in %d and %d entries", m.size, len(m.entries), m.order.Len())
			}
		}
		m.add("a", 1, 4)
		<-time.After(40 * time.Second)
		m.add("b", 2, 4)
		expect(map[string]int{"a": 1, "b": 2, "c": 0}, 8)
		// The oldest makes room, and one that is added again is the newest.
		m.add("a", 3, 4)
		m.add("c", 4, 4)
		expect(map[string]int{"a": 3, "b": 0, "c": 4}, 8)
		m.add("too large", 5, 11)
		expect(map[string]int{"a": 0, "c": 0, "too large": 0}, 0)
		m.add("d", 6, 4)
		<-time.After(59 * time.Second)
		m.add("e", 7, 4)
		m.remove("no such")
		expect(map[string]int{"d": 6, "e": 7}, 8)
		<-time.After(time.Second)
		expect(map[string]int{"d": 0, "e": 7}, 4)
		m.remove("e")
		expect(map[string]int{"e": 0}, 0)
	})
}
