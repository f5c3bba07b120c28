package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

func TestWorkspaceValidation(t *testing.T) {
	t.Parallel()
	check(t, minimalWorkspace, []validation{
		{"a name's length", `metadata: {name: ` + strings.Repeat("n", 53) + `}`, `metadata: {name: ` + strings.Repeat("n", 54) + `}`,
			"a Workspace's name must be at most 53 characters long"},
		{"a name's form", `metadata: {name: acme-2}`, `metadata: {name: acme.com}`, "a Workspace's name must be a DNS label"},
		{"namespace default", `spec: {namespace: tenants-acme}`, `spec: {namespace: default}`, "default and kube-* can't be a workspace's namespace"},
		{"namespace kube-system", `spec: {namespace: kubernetes}`, `spec: {namespace: kube-system}`, "default and kube-* can't be a workspace's namespace"},
		{"namespace's form", `spec: {namespace: a}`, `spec: {namespace: A_b}`, "spec.namespace in body should match"},
		{"namespace's length", `spec: {namespace: ` + strings.Repeat("n", 63) + `}`, `spec: {namespace: ` + strings.Repeat("n", 64) + `}`, "spec.namespace: Too long"},
		{"namespace is not empty", ``, `spec: {namespace: ""}`, "spec.namespace"},
		{"database is needed", ``, `spec: {database: null}`, "spec.database: Required value"},
		{"secretRef is needed", ``, `spec: {database: {secretRef: null}}`, "spec.database.secretRef: Required value"},
		{"secretRef.name", `spec: {database: {secretRef: {name: my.secret-1}}}`, `spec: {database: {secretRef: {name: My_Secret}}}`, "spec.database.secretRef.name in body should match"},
		{"secretRef.key", `spec: {database: {secretRef: {key: DATABASE_URL}}}`, `spec: {database: {secretRef: {key: "a/b"}}}`, "spec.database.secretRef.key in body should match"},
		{"egress is needed", ``, `spec: {database: {egress: null}}`, "spec.database.egress: Required value"},
		{"egress is not empty", `spec: {database: {egress: [{}]}}`, `spec: {database: {egress: []}}`, "spec.database.egress in body should have at least 1 items"},
		{"egress ports", `spec: {database: {egress: [{ports: [{port: 5432}, {port: 8000, endPort: 9000}, {}]}]}}`, `spec: {database: {egress: [{ports: [{port: 65536}]}]}}`, "ports[0].port in body should be less than or equal to 65535"},
		{"egress protocols", `spec: {database: {egress: [{ports: [{protocol: UDP}]}]}}`, `spec: {database: {egress: [{ports: [{protocol: ICMP}]}]}}`, `Unsupported value: "ICMP"`},
		{"schema pg_*", `spec: {database: {schema: pgboss}}`, `spec: {database: {schema: pg_x}}`, "the ledger needs a schema of its own: not public, information_schema or pg_*"},
		{"schema public", `spec: {database: {schema: publications}}`, `spec: {database: {schema: public}}`, "the ledger needs a schema of its own"},
		{"schema's form", `spec: {database: {schema: Hang_Fire2}}`, `spec: {database: {schema: "a\"; drop"}}`, "spec.database.schema in body should match"},
		{"schema's length", `spec: {database: {schema: ` + strings.Repeat("s", 63) + `}}`, `spec: {database: {schema: ` + strings.Repeat("s", 64) + `}}`, "spec.database.schema: Too long"},
		{"runner is needed", ``, `spec: {runner: null}`, "spec.runner: Required value"},
		{"image is needed", ``, `spec: {runner: {image: null}}`, "spec.runner.image: Required value"},
		{"image", `spec: {runner: {image: "registry:5000/a/b@sha256:0"}}`, `spec: {runner: {image: "a b"}}`, "spec.runner.image in body should match"},
		{"imagePullPolicy", `spec: {runner: {imagePullPolicy: Never}}`, `spec: {runner: {imagePullPolicy: Sometimes}}`, `Unsupported value: "Sometimes"`},
		{"secrets are different ones", `spec: {runner: {secrets: [a, b]}}`, `spec: {runner: {secrets: [a, a]}}`, "Duplicate value"},
		{"secrets' names", `spec: {runner: {secrets: [a.b]}}`, `spec: {runner: {secrets: ["../a"]}}`, "should match"},
		{"runner's resources", `spec: {runner: {resources: {limits: {memory: 1Gi}}}}`, `spec: {runner: {resources: {limits: {memory: "1e9999999999"}}}}`, "each must be a quantity such as 500m or 256Mi"},
		{"members' role", `spec: {members: [{role: Admin, subjects: [{kind: User, name: anna}]}]}`, `spec: {members: [{role: Owner, subjects: [{kind: User, name: anna}]}]}`, `Unsupported value: "Owner"`},
		{"members' subjects", `spec: {members: [{role: Viewer, subjects: [{kind: ServiceAccount, name: ci, namespace: ci}]}]}`, `spec: {members: [{role: Viewer, subjects: []}]}`, "should have at least 1 items"},
		{"concurrency's least", `spec: {concurrency: 1}`, `spec: {concurrency: 0}`, "spec.concurrency in body should be greater than or equal to 1"},
		{"concurrency's most", `spec: {concurrency: 1000}`, `spec: {concurrency: 1001}`, "spec.concurrency in body should be less than or equal to 1000"},
		{"suspend", `spec: {suspend: true}`, `spec: {suspend: "yes"}`, "spec.suspend in body must be of type boolean"},
		{"retention.succeeded", `spec: {retention: {succeeded: 0s}}`, `spec: {retention: {succeeded: "-1h"}}`, noDuration("spec.retention.succeeded", "-1h")},
		{"retention.failed", `spec: {retention: {failed: 87600h}}`, `spec: {retention: {failed: 87600h1s}}`, noDuration("spec.retention.failed", "87600h1s")},
		{"retention.pods", `spec: {retention: {pods: 1h30m}}`, `spec: {retention: {pods: 7d}}`, noDuration("spec.retention.pods", "7d")},
		{"quota", `spec: {quota: {pods: 100000000, requests.cpu: 500m, limits.memory: 1.5Ti}}`, `spec: {quota: {pods: "1e-9999999999"}}`, "each must be a number, or a quantity such as 500m or 256Gi of at most 8 characters"},
		{"quota's size", ``, `spec: {quota: {` + manyQuotas(25) + `}}`, "spec.quota: Too many: 25: must have at most 24 items"},
	})
}

func TestWorkspaceChanges(t *testing.T) {
	t.Parallel()
	fixed := "namespace can't change once the Workspace exists: create another Workspace for the other namespace"
	checkChanges(t, minimalWorkspace, []change{
		{"namespace", `spec: {namespace: one}`, `spec: {namespace: two}`, fixed},
		{"namespace is added", ``, `spec: {namespace: two}`, fixed},
		{"namespace is removed", `spec: {namespace: one}`, `spec: {namespace: null}`, fixed},
		{"all else can change", `spec: {namespace: one}`, `spec: {database: {schema: jobs, secretRef: {name: other}}, runner: {image: other}, quota: {pods: 5}}`, ""},
		{"the queue can change", `spec: {concurrency: 5}`, `spec: {concurrency: 7, suspend: true, retention: {succeeded: 1h, failed: 2h}}`, ""},
	})
}

func TestWorkspaceDefaults(t *testing.T) {
	t.Parallel()
	a := connect(t)
	if err := a.create(object(t, minimalWorkspace, `{metadata: {name: defaults}, spec: {retention: {}}}`)); err != nil {
		t.Fatal(err)
	}
	ws := &v1alpha1.Workspace{}
	if err := a.Get(t.Context(), client.ObjectKey{Name: "defaults"}, ws); err != nil {
		t.Fatal(err)
	}
	got := []any{ws.Spec.Database.Schema, ws.Spec.Database.SecretRef.Key, string(ws.Spec.Runner.ImagePullPolicy), ws.NamespaceName(), *ws.Spec.Concurrency,
		ws.Spec.Retention.Pods.Duration.String(), ws.Spec.Retention.Succeeded, ws.Status.ObservedGeneration}
	if diff := cmp.Diff([]any{"hangfire", "url", "IfNotPresent", "workspace-defaults", int32(20), "168h0m0s", (*v1alpha1.Duration)(nil), int64(-1)}, got); diff != "" {
		t.Error(diff)
	}
}

func manyQuotas(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("count/k%d: 1", i))
	}
	return strings.Join(list, ", ")
}
