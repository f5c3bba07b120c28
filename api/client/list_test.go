package client_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

func TestJobsThatWaitForAnotherAttempt(t *testing.T) {
	t.Parallel()
	acme := workspace(t, "acme")
	for _, name := range []string{"between-1", "between-2", "between-3"} {
		enqueueLater(t, acme, name)
		if err := env.AwaitRetry(t.Context(), "workspace-acme", name); err != nil {
			t.Fatal(err)
		}
	}
	enqueueLater(t, acme, "not-begun")
	testenv.Eventually(t, "it is Scheduled", func(ctx context.Context) error {
		job, err := acme.Get(ctx, "not-begun")
		if err == nil && job.Status.State != v1alpha1.StateScheduled {
			err = fmt.Errorf("it is %q", job.Status.State)
		}
		return err
	})
	var names []string
	options := client.ListOptions{Retrying: true, Handler: "report", Limit: 2}
	for page := 1; ; page++ {
		list, err := acme.List(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		for i := range list.Items {
			names = append(names, list.Items[i].Name)
		}
		if options.Continue = list.Continue; options.Continue == "" {
			if page != 2 {
				t.Errorf("%d pages", page)
			}
			break
		}
	}
	if got := strings.Join(names, " "); got != "between-1 between-2 between-3" {
		t.Errorf("these wait for another attempt: %s", got)
	}
	for _, options := range []client.ListOptions{{Retrying: true, State: v1alpha1.StateFailed}, {Retrying: true, Handler: "none"}} {
		if list, err := acme.List(t.Context(), options); err != nil || len(list.Items) > 0 {
			t.Errorf("%+v: %d jobs, %v", options, len(list.Items), err)
		}
	}
}

func TestMetadataIsListedInPages(t *testing.T) {
	t.Parallel()
	acme := workspace(t, "acme")
	for _, name := range []string{"named-1", "named-2", "named-3"} {
		enqueueLater(t, acme, name, client.WithConcurrencyKey("named"))
	}
	if _, err := acme.AddOrUpdateRecurring(t.Context(), "named-yearly", "report", nil, "@yearly"); err != nil {
		t.Fatal(err)
	}
	options := client.ListOptions{ConcurrencyKey: "named", Limit: 2}
	first, err := acme.ListMetadata(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	options.Continue = first.Continue
	second, err := acme.ListMetadata(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Items) != 2 || len(second.Items) != 1 || second.Items[0].Name != "named-3" || second.Continue != "" {
		t.Errorf("%+v, %+v", first, second)
	}
	recurring, err := acme.ListRecurringMetadata(t.Context(), 500, "")
	if err != nil || !slices.ContainsFunc(recurring.Items, func(item metav1.PartialObjectMetadata) bool { return item.Name == "named-yearly" }) {
		t.Errorf("%+v, %v", recurring, err)
	}
	if _, err := workspace(t, "globex").ListMetadata(t.Context(), options); !apierrors.IsForbidden(err) {
		t.Errorf("another workspace's names: %v", err)
	}
}
