package rest_test

import (
	"encoding/json"
	"net/http"
	"testing"

	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

func TestResourcesAreSetAndRead(t *testing.T) {
	t.Parallel()
	const resources = `{"requests":{"cpu":"100m"},"limits":{"cpu":"1","memory":"256Mi","ephemeral-storage":"1Gi"}}`
	read := func(body []byte) string {
		var view struct{ Resources json.RawMessage }
		if err := json.Unmarshal(body, &view); err != nil {
			t.Fatal(err)
		}
		return string(view.Resources)
	}
	// Each is removed when the recurring job is changed to the next.
	for _, each := range []struct{ given, want string }{
		{`,"resources":{}`, ``}, {``, ``}, {`,"resources":` + resources, resources}, {`,"resources":{"limits":{}}`, ``},
		{`,"resources":{"limits":{"memory":"1048576Ki"},"requests":{}}`, `{"limits":{"memory":"1Gi"}}`}, {`,"resources":{}`, ``}, {`,"resources":` + resources, resources}, {``, ``},
	} {
		given, want := each.given, each.want
		made := request{method: http.MethodPost, path: acme + "/jobs", as: app, body: `{"handler":"report","delay":"1h"` + given + `}`}.send(t).want(t, 201, nil)
		applied := request{method: http.MethodPut, path: acme + "/recurring/resources", as: app, body: `{"handler":"report","schedule":"@yearly"` + given + `}`}.send(t)
		if got := read(made.body); got != want {
			t.Errorf("a job with %s has %s", given, got)
		}
		if got := read(applied.body); got != want || applied.status > 201 {
			t.Errorf("a recurring job with %s: %d %s", given, applied.status, applied.body)
		}
	}
	job := makeJob(t, app, acme+"/jobs", `{"handler":"report","name":"with-resources","delay":"1h","resources":`+resources+`}`)
	object := &v1alpha1.WorkspaceJob{}
	if err := env.Client.Get(t.Context(), kube.ObjectKey{Namespace: "workspace-acme", Name: job.Name}, object); err != nil || object.Spec.Resources.Limits.Memory().String() != "256Mi" {
		t.Errorf("%+v, %v", object.Spec.Resources, err)
	}
}
