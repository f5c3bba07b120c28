// Package world simulates an API server and an operator's cache that lags behind it, for
// tests that need what no real one does on demand: watches of several kinds, each of which
// lags by itself, a cache that changes between two reads, and an operator that dies before
// or after any write. Objects have their real types, and a reconciler gets the world as
// its client.
package world

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// World is what the API server stores, and one cache. It must be used by one goroutine only.
type World struct {
	// Rand makes every random choice.
	Rand *rand.Rand
	// Clock moves only when [World.Sleep] or a test moves it.
	Clock *clocktesting.FakePassiveClock
	// Trim reduces each object to what the cache holds of it. If it is nil, the cache holds all.
	Trim func(client.Object)
	// Restless makes the cache receive changes after reads, too. Unheard keeps them.
	Restless bool
	// Unheard are the changes that reached the cache in the middle of a reconcile.
	Unheard []Change

	tables  map[string]*table // by kind
	version int64
	indexes map[string]client.IndexerFunc // by kind and field
}

// Change is a change of one object, as a watch reports it.
type Change struct {
	// Kind is the name of the object's type, such as "Pod".
	Kind string
	// Old is nil if the object is new, New if it is gone.
	Old, New client.Object
}

// table holds the objects of one kind.
type table struct {
	truth map[types.NamespacedName]client.Object
	cache map[types.NamespacedName]client.Object
	log   []record
	heard int // how much of the log the cache has received
}

// record is an object's new state; nil if it is gone.
type record struct {
	key    types.NamespacedName
	object client.Object
}

// New returns an empty world whose clock starts at the time. The same seed gives the same
// random choices.
func New(seed uint64, begin time.Time) *World {
	return &World{
		Rand:   rand.New(rand.NewPCG(seed, seed)), //nolint:gosec // it must be repeatable
		Clock:  clocktesting.NewFakePassiveClock(begin),
		tables: map[string]*table{}, indexes: map[string]client.IndexerFunc{},
	}
}

// Sleep moves the clock forward.
func (w *World) Sleep(d time.Duration) { w.Clock.SetTime(w.Clock.Now().Add(d)) }

// IndexField implements client.FieldIndexer.
func (w *World) IndexField(_ context.Context, object client.Object, field string, extract client.IndexerFunc) error {
	w.indexes[kindOf(object)+"/"+field] = extract
	return nil
}

// Hear gives the cache the next change of a kind. It reports whether there was one.
func (w *World) Hear(kind string) (Change, bool) {
	t := w.tables[kind]
	if t == nil || t.heard == len(t.log) {
		return Change{}, false
	}
	next := t.log[t.heard]
	t.heard++
	change := Change{Kind: kind, Old: t.cache[next.key]}
	if next.object == nil {
		delete(t.cache, next.key)
		return change, true
	}
	change.New = next.object
	if w.Trim != nil {
		change.New = copyOf(next.object)
		w.Trim(change.New)
	}
	t.cache[next.key] = change.New
	return change, true
}

// HearAll gives the cache all changes of a kind.
func (w *World) HearAll(kind string) []Change {
	var changes []Change
	for change, ok := w.Hear(kind); ok; change, ok = w.Hear(kind) {
		changes = append(changes, change)
	}
	return changes
}

// Restart gives a new operator a new cache. It is filled by an API server that may lag
// behind what the previous operator has seen.
func (w *World) Restart() {
	w.Unheard = nil
	for _, kind := range w.kinds() {
		t := w.tables[kind]
		t.cache, t.heard = map[types.NamespacedName]client.Object{}, 0
		for range len(t.log) - w.Rand.IntN(min(len(t.log), 6)+1) {
			w.Hear(kind)
		}
	}
}

func (w *World) kinds() []string {
	var kinds []string
	for kind := range w.tables {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

// stir lets the cache receive changes between two reads.
func (w *World) stir() {
	if !w.Restless || w.Rand.IntN(3) > 0 {
		return
	}
	kinds := w.kinds()
	if change, ok := w.Hear(kinds[w.Rand.IntN(len(kinds))]); ok {
		w.Unheard = append(w.Unheard, change)
	}
}

// put stores a new state of an object with a new resource version.
func (w *World) put(object client.Object) client.Object {
	w.version++
	stored := copyOf(object)
	stored.SetResourceVersion(strconv.FormatInt(w.version, 10))
	t := w.table(kindOf(object))
	key := client.ObjectKeyFromObject(object)
	t.truth[key] = stored
	t.log = append(t.log, record{key, stored})
	return stored
}

func (w *World) drop(object client.Object) {
	w.version++
	t := w.table(kindOf(object))
	key := client.ObjectKeyFromObject(object)
	delete(t.truth, key)
	t.log = append(t.log, record{key: key})
}

func (w *World) table(kind string) *table {
	t := w.tables[kind]
	if t == nil {
		t = &table{truth: map[types.NamespacedName]client.Object{}, cache: map[types.NamespacedName]client.Object{}}
		w.tables[kind] = t
	}
	return t
}

// Add creates an object, as somebody else would.
func Add[T client.Object](w *World, object T) T {
	w.version++
	object.SetUID(types.UID(fmt.Sprintf("uid-%d", w.version)))
	object.SetGeneration(1)
	object.SetCreationTimestamp(w.second())
	stored, _ := w.put(object).(T)
	return stored
}

// Get returns what the API server has under the name; it must not be changed.
func Get[T client.Object](w *World, name types.NamespacedName) (T, bool) {
	var zero T
	object, ok := w.table(kindOf(zero)).truth[name].(T)
	return object, ok
}

// History returns every state that an object of the name ever had; they must not be changed.
func History[T client.Object](w *World, name types.NamespacedName) []T {
	var states []T
	for _, change := range w.table(kindOf(*new(T))).log {
		if state, ok := change.object.(T); ok && change.key == name {
			states = append(states, state)
		}
	}
	return states
}

// All returns what the API server has of a kind, by name; it must not be changed.
func All[T client.Object](w *World) []T { return sorted[T](w.table(kindOf(*new(T))).truth) }

// AllCached returns what the cache has of a kind, by name; it must not be changed.
func AllCached[T client.Object](w *World) []T { return sorted[T](w.table(kindOf(*new(T))).cache) }

func sorted[T client.Object](of map[types.NamespacedName]client.Object) []T {
	var list []T
	for _, object := range of {
		if typed, ok := object.(T); ok {
			list = append(list, typed)
		}
	}
	slices.SortFunc(list, func(a, b T) int { return strings.Compare(a.GetName(), b.GetName()) })
	return list
}

// Change changes an object, as somebody else would. Another spec is another generation.
func (w *World) Change(object client.Object, change func(client.Object)) {
	changed := copyOf(object)
	change(changed)
	if !equality.Semantic.DeepEqual(specOf(object), specOf(changed)) {
		changed.SetGeneration(changed.GetGeneration() + 1)
	}
	w.put(changed)
}

// specOf returns the object's spec, or nil if its kind has none.
func specOf(object client.Object) any {
	spec := reflect.ValueOf(object).Elem().FieldByName("Spec")
	if !spec.IsValid() {
		return nil
	}
	return spec.Interface()
}

// Remove deletes an object, as somebody else would. What it owns stays until [World.Collect].
func (w *World) Remove(object client.Object) { w.drop(object) }

// Collect deletes one object whose owners are all gone, and reports whether there was one.
// A pod only gets its deletion timestamp.
func (w *World) Collect() bool {
	living := map[types.UID]bool{}
	for _, t := range w.tables {
		for _, object := range t.truth {
			living[object.GetUID()] = true
		}
	}
	for _, kind := range w.kinds() {
		for _, object := range sorted[client.Object](w.tables[kind].truth) {
			owners := object.GetOwnerReferences()
			orphan := len(owners) > 0
			for _, owner := range owners {
				orphan = orphan && !living[owner.UID]
			}
			if orphan && object.GetDeletionTimestamp() == nil {
				w.delete(object)
				return true
			}
		}
	}
	return false
}

// delete deletes an object at once. A pod only gets its deletion timestamp: the kubelet has
// to stop it first.
func (w *World) delete(object client.Object) {
	if kindOf(object) != "Pod" {
		w.drop(object)
		return
	}
	w.Change(object, func(pod client.Object) { pod.SetDeletionTimestamp(new(w.second())) })
}

// kindOf returns the name of an object's type.
func kindOf(object client.Object) string { return reflect.TypeOf(object).Elem().Name() }

func copyOf(object client.Object) client.Object {
	copied, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		panic(fmt.Sprintf("%T copies to something else", object))
	}
	return copied
}
