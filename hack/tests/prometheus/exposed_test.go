// Package prometheus holds tests of config/prometheus: its expressions parse and use only metrics
// and labels that exist, and each alert fires when it should and only then. It is a separate
// module because the product does not need Prometheus' and Grafana's code.
package prometheus

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/openradius/workspace-jobs/controllers/job"
	"github.com/openradius/workspace-jobs/controllers/recurring"
)

// exposed holds the labels of each series that the operator exposes, by name.
type exposed map[string][]string

func (e exposed) add(name string, kind dto.MetricType, labels ...string) {
	if kind != dto.MetricType_HISTOGRAM {
		e[name] = labels
		return
	}
	e[name+"_bucket"] = append(slices.Clone(labels), "le")
	e[name+"_sum"], e[name+"_count"] = labels, labels
}

var desc = regexp.MustCompile(`^Desc\{fqName: "([^"]+)".*variableLabels: \{([^}]*)\}\}$`)

// Register implements prometheus.Registerer, which learns names without any series.
func (e exposed) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc, 100)
	c.Describe(descs)
	close(descs)
	kind := dto.MetricType_UNTYPED
	if _, ok := c.(*prometheus.HistogramVec); ok {
		kind = dto.MetricType_HISTOGRAM
	}
	for d := range descs {
		found := desc.FindStringSubmatch(d.String())
		if found == nil {
			return errors.New("not understood: " + d.String())
		}
		e.add(found[1], kind, strings.FieldsFunc(found[2], func(r rune) bool { return r == ',' })...)
	}
	return nil
}

func (e exposed) MustRegister(...prometheus.Collector) { panic("not for this test") }
func (e exposed) Unregister(prometheus.Collector) bool { return false }

// ours returns the operator's own metrics.
func ours(t *testing.T) exposed {
	t.Helper()
	e := exposed{}
	if _, err := job.NewMetrics(e, nil, clock.RealClock{}); err != nil {
		t.Fatal(err)
	}
	if _, err := recurring.NewMetrics(e); err != nil {
		t.Fatal(err)
	}
	if len(e) < 10 {
		t.Fatalf("it exposes only %v", e)
	}
	return e
}

// all returns our metrics, and those of controller-runtime, client-go, Go and Prometheus itself.
func all(t *testing.T) exposed {
	t.Helper()
	e := ours(t)
	e.add("up", dto.MetricType_GAUGE)
	families, err := exercise()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		var labels []string
		for _, pair := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, pair.GetName())
		}
		e.add(family.GetName(), family.GetType(), labels...)
	}
	return e
}

// exercise runs a controller, a leader election and a client once, so that their series exist.
var exercise = sync.OnceValues(func() ([]*dto.MetricFamily, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := errors.Join(reconcileOnce(ctx, cancel), standForElection(), askOnce()); err != nil {
		return nil, err
	}
	return metrics.Registry.Gather()
})

func reconcileOnce(ctx context.Context, done func()) error {
	c, err := controller.NewUnmanaged("once", controller.Options{
		Logger: logr.Discard(),
		Reconciler: reconcile.Func(func(context.Context, reconcile.Request) (reconcile.Result, error) {
			done()
			return reconcile.Result{}, nil
		}),
	})
	if err != nil {
		return err
	}
	err = c.Watch(source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		q.Add(reconcile.Request{})
		return nil
	}))
	return errors.Join(err, c.Start(ctx))
}

func standForElection() error {
	_, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:          &resourcelock.LeaseLock{LeaseMeta: metav1.ObjectMeta{Name: "once"}, LockConfig: resourcelock.ResourceLockConfig{Identity: "once"}},
		LeaseDuration: 3 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: time.Second, Name: "once",
		Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) {}, OnStoppedLeading: func() {}},
	})
	return err
}

func askOnce() error {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	client, err := rest.UnversionedRESTClientFor(&rest.Config{
		Host: server.URL, ContentConfig: rest.ContentConfig{NegotiatedSerializer: scheme.Codecs.WithoutConversion()},
	})
	if err != nil {
		return err
	}
	if err := client.Get().AbsPath("/").Do(context.Background()).Error(); err == nil {
		return errors.New("the server has a page that it should not have")
	}
	return nil
}
