package cached

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

var shared testenv.Shared

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

// withoutStreams is an API server that does not stream lists, as Kubernetes 1.33, whose lists
// are counted.
type withoutStreams struct {
	http.RoundTripper
	mutex sync.Mutex
	lists []url.Values
}

// refusal is what such an API server answers.
const refusal = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422,
"message":"sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"}`

func (w *withoutStreams) RoundTrip(request *http.Request) (*http.Response, error) {
	query := request.URL.Query()
	switch {
	case query.Has("sendInitialEvents"):
		return &http.Response{
			StatusCode: http.StatusUnprocessableEntity, Header: http.Header{"Content-Type": {"application/json"}},
			Body: io.NopCloser(strings.NewReader(refusal)), Request: request,
		}, nil
	case !query.Has("watch") && strings.HasSuffix(request.URL.Path, "/workspacejobs"):
		w.mutex.Lock()
		w.lists = append(w.lists, query)
		w.mutex.Unlock()
	}
	return w.RoundTripper.RoundTrip(request)
}

// TestAListComesInPages fills a cache from an API server that can't stream: a list of all
// tenants' jobs at once would fill the operator's memory.
func TestAListComesInPages(t *testing.T) {
	t.Parallel()
	const jobs, pages = 230, 3
	env := shared.Env(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "pages"}}
	testenv.CreateFor(t, env.Client, namespace)
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(10)
	for i := range jobs {
		group.Go(func() error {
			args := map[string]string{"a": strings.Repeat("x", 1000)}
			return env.Client.Create(ctx, objects.MakeWorkspaceJob(fmt.Sprintf("job-%d", i)).In(namespace.Name).ArgsOf(args).Obj())
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	config := rest.CopyConfig(env.Config)
	server := &withoutStreams{}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		server.RoundTripper = next
		return server
	})
	options, err := Options()
	if err != nil {
		t.Fatal(err)
	}
	options.Scheme = env.Scheme
	held, err := cache.New(config, options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := held.GetInformer(t.Context(), &v1alpha1.WorkspaceJob{}, cache.BlockUntilSynced(false)); err != nil {
		t.Fatal(err)
	}
	go func() { _ = held.Start(t.Context()) }() // it ends with the test
	if !held.WaitForCacheSync(t.Context()) {
		t.Fatal("the cache is not filled")
	}
	var list v1alpha1.WorkspaceJobList
	if err := held.List(t.Context(), &list, client.InNamespace(namespace.Name)); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != jobs {
		t.Errorf("the cache holds %d jobs, want %d", len(list.Items), jobs)
	}
	for i := range list.Items {
		if job := &list.Items[i]; Whole(job.Spec.Args) || len(job.ManagedFields) > 0 {
			t.Fatalf("job %q is not trimmed", job.Name)
		}
	}
	server.mutex.Lock()
	defer server.mutex.Unlock()
	if len(server.lists) != pages {
		t.Errorf("the jobs were read in %d lists, want %d: %v", len(server.lists), pages, server.lists)
	}
	for _, query := range server.lists {
		if query.Get("limit") != fmt.Sprint(page) || query.Get("resourceVersion") != "" {
			t.Errorf("a list was asked for with %v", query)
		}
	}
}
