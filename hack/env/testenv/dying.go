package testenv

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var errDied = errors.New("the operator died")

// DyingClient returns a client for an operator that dies around every write: the first try
// of a write is not sent, the answer to the second never arrives, and only the third
// succeeds as usual. Each death is an error for the reconciler, whose memory is kept.
func DyingClient(c client.Client) client.Client {
	return &dying{Client: c, deaths: &deaths{counts: map[string]int{}}}
}

// HealthyNamespace is for tests of events. An event is sent after the write that it reports,
// so an operator that dies in between does not send it.
const HealthyNamespace = "healthy"

type deaths struct {
	sync.Mutex
	counts map[string]int
}

func (d *deaths) around(write string, send func() error) error {
	if strings.Contains(write, " "+HealthyNamespace+"/") {
		return send()
	}
	d.Lock()
	d.counts[write]++
	count := d.counts[write] % 3
	d.Unlock()
	if count == 1 {
		return errDied
	}
	err := send()
	if count == 2 && err == nil {
		return errDied
	}
	return err
}

type dying struct {
	client.Client
	*deaths
}

func (d *dying) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	return d.around("create "+key(object), func() error { return d.Client.Create(ctx, object, options...) })
}

func (d *dying) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.PatchOption) error {
	return d.around("patch "+key(object), func() error { return d.Client.Patch(ctx, object, patch, options...) })
}

func (d *dying) Delete(ctx context.Context, object client.Object, options ...client.DeleteOption) error {
	return d.around("delete "+key(object), func() error { return d.Client.Delete(ctx, object, options...) })
}

func (d *dying) Status() client.SubResourceWriter {
	return &dyingStatus{SubResourceWriter: d.Client.Status(), deaths: d.deaths}
}

type dyingStatus struct {
	client.SubResourceWriter
	*deaths
}

func (d *dyingStatus) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	return d.around("status of "+key(object), func() error { return d.SubResourceWriter.Patch(ctx, object, patch, options...) })
}

func key(object client.Object) string { return client.ObjectKeyFromObject(object).String() }

func (d *dying) Apply(ctx context.Context, config runtime.ApplyConfiguration, options ...client.ApplyOption) error {
	return d.around("apply "+nameOf(config), func() error { return d.Client.Apply(ctx, config, options...) })
}

// nameOf returns what key returns, of an apply configuration.
func nameOf(config runtime.ApplyConfiguration) string {
	named, ok := config.(interface {
		GetNamespace() string
		GetName() string
	})
	if !ok {
		return fmt.Sprintf("%T", config)
	}
	return named.GetNamespace() + "/" + named.GetName()
}
