package fairqueue

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func request(namespace, name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
}

// TestALongLineDelaysAnotherByOne checks that a namespace that comes late, behind 10,000
// requests of another one, is served second.
func TestALongLineDelaysAnotherByOne(t *testing.T) {
	t.Parallel()
	queue := New("", workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	for i := range 10_000 {
		queue.Add(request("flood", fmt.Sprint(i)))
	}
	queue.Add(request("quiet", "a"))
	queue.Add(request("quiet", "b"))
	queue.Add(request("quiet", "a")) // is already waiting
	var got []string
	for range 5 {
		next, _ := queue.Get()
		got = append(got, next.String())
		queue.Done(next)
	}
	if diff := cmp.Diff([]string{"flood/0", "quiet/a", "flood/1", "quiet/b", "flood/2"}, got); diff != "" {
		t.Errorf("served in another order (-want +got):\n%s", diff)
	}
	if n := queue.Len(); n != 10_000-3 {
		t.Errorf("%d requests are left", n)
	}
}

// TestNothingIsForgotten serves everything once, first come first served within a
// namespace, however pushes and pops interleave.
func TestNothingIsForgotten(t *testing.T) {
	t.Parallel()
	var line turns
	pushed, popped := map[string]int{}, map[string]int{}
	pop := func() {
		next := line.Pop()
		if want := fmt.Sprint(popped[next.Namespace]); next.Name != want {
			t.Fatalf("%s is served, %s/%s is next", next, next.Namespace, want)
		}
		popped[next.Namespace]++
	}
	for i := range 5_000 {
		namespace := fmt.Sprint(i * i % 7)
		line.Push(request(namespace, fmt.Sprint(pushed[namespace])))
		pushed[namespace]++
		if i%3 == 0 {
			pop()
		}
	}
	for line.Len() > 0 {
		pop()
	}
	if diff := cmp.Diff(pushed, popped); diff != "" {
		t.Errorf("not all are served (-pushed +served):\n%s", diff)
	}
	if len(line.ring) != 0 || len(line.lines) != 0 {
		t.Error("an empty queue still remembers namespaces")
	}
}
