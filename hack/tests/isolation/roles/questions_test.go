package roles

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/discovery"

	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// action is something that the API server allows or refuses: a verb on a resource, such as
// "pods/exec" in the group "", or on a URL's path.
type action struct{ verb, group, resource, path string }

func (a action) String() string {
	if a.path != "" {
		return a.verb + " " + a.path
	}
	if a.group == "" {
		return a.verb + " " + a.resource
	}
	return a.verb + " " + a.resource + " of " + a.group
}

// questions are the questions that are asked.
type questions struct {
	// version is the version of the API server, such as "1.37".
	version string
	// served are the resources and subresources that the API server's discovery
	// lists, and extra those that it checks without serving them.
	served, extra []resource
	// paths are URLs.
	paths []string
}

// resource is a resource or subresource that the API server knows.
type resource struct {
	group, name string
	namespaced  bool
	verbs       []string
}

func (r resource) sub() bool { return strings.Contains(r.name, "/") }

// special returns verbs on resources that discovery does not list: what the API server asks
// its authorizer in addition to the request itself. "*" is allowed only by a rule with a
// wildcard.
func special() []resource {
	const (
		rbac           = "rbac.authorization.k8s.io"
		authentication = "authentication.k8s.io"
		certificates   = "certificates.k8s.io"
	)
	impersonate := []string{
		"impersonate", "impersonate:user-info", "impersonate:serviceaccount",
		"impersonate:arbitrary-node", "impersonate:associated-node",
	}
	impersonateOn := []string{
		"impersonate-on:user-info:get", "impersonate-on:serviceaccount:get",
		"impersonate-on:arbitrary-node:get", "impersonate-on:associated-node:get",
	}
	return []resource{
		{"*", "*", true, []string{"*", "get", "create"}},
		{"", "*", true, []string{"*", "get", "create"}},
		{"jobs.openradius.io", "*", true, []string{"*", "get", "create"}},
		{"jobs.openradius.io", "workspacejobs", true, []string{"*"}},
		// The policy workspace-jobs-workspace-namespaces asks it.
		{"jobs.openradius.io", "workspaces", false, []string{"*", "adopt"}},
		{"", "secrets", true, append([]string{"*", "use"}, impersonateOn...)},
		{"", "users", false, impersonate},
		{"", "groups", false, impersonate},
		{"", "serviceaccounts", true, append([]string{
			"use", "request-serviceaccounts-token-audience", "request-serviceaccounts-podcertificate-signer",
		}, impersonate...)},
		{authentication, "users", false, impersonate},
		{authentication, "groups", false, impersonate},
		{authentication, "serviceaccounts", true, impersonate},
		{authentication, "nodes", false, impersonate},
		{authentication, "uids", false, impersonate},
		{authentication, "userextras", false, impersonate},
		{authentication, "userextras/scopes", false, impersonate},
		{authentication, "admissionReviewAPIGroups", false, []string{"attest"}},
		{rbac, "roles", true, []string{"bind", "escalate"}},
		{rbac, "clusterroles", true, []string{"bind", "escalate"}}, // a RoleBinding in the namespace may refer to one
		{certificates, "signers", false, []string{"approve", "sign", "attest"}},
		{"policy", "podsecuritypolicies", true, []string{"use"}}, // of an older API server
		{"resource.k8s.io", "resourceclaims/driver", true, []string{"associated-node:update", "arbitrary-node:update"}},
		// A kubelet asks these for its own API.
		{"", "nodes/pods", false, []string{"get"}},
		{"", "nodes/log", false, []string{"get"}},
		{"", "nodes/stats", false, []string{"get"}},
		{"", "nodes/metrics", false, []string{"get"}},
		{"", "nodes/configz", false, []string{"get"}},
		{"", "nodes/healthz", false, []string{"get"}},
		{"", "nodes/checkpoint", false, []string{"get", "create"}},
	}
}

// ask returns the questions for a namespace, or for clusterWide.
func (q *questions) ask(namespace string) []action {
	var all []action
	for _, r := range slices.Concat(q.served, q.extra) {
		// A namespace counts as one of its own objects: a Role in it may allow deleting it.
		if namespace != clusterWide && !r.namespaced && strings.Split(r.name, "/")[0] != "namespaces" {
			continue
		}
		for _, verb := range r.verbs {
			all = append(all, action{verb: verb, group: r.group, resource: r.name})
		}
	}
	if namespace == clusterWide {
		for _, path := range q.paths {
			all = append(all, action{verb: "get", path: path})
		}
		for _, verb := range []string{"*", "post", "put", "delete"} {
			all = append(all, action{verb: verb, path: "/debug/flags/v"}, action{verb: verb, path: "*"})
		}
	}
	return all
}

// discover returns the questions to ask.
func discover(t *testing.T, env *testenv.Env) *questions {
	t.Helper()
	c, err := discovery.NewDiscoveryClientForConfig(env.Config)
	if err != nil {
		t.Fatal(err)
	}
	version, err := c.ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	q := &questions{version: version.Major + "." + version.Minor, paths: paths(t, env)}
	_, lists, err := c.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		group, _, found := strings.Cut(list.GroupVersion, "/")
		if !found {
			group = ""
		}
		for _, r := range list.APIResources {
			// Rights don't depend on the version.
			q.served = merge(q.served, resource{group, r.Name, r.Namespaced, r.Verbs})
		}
	}
	for _, r := range q.served {
		if !r.sub() {
			// Checked for an object that blocks the deletion of its owner.
			q.extra = append(q.extra, resource{r.group, r.name + "/finalizers", r.namespaced, []string{"update"}})
		}
	}
	q.extra = append(q.extra, special()...)
	return q
}

// merge adds a resource, or its verbs if the resource is already there.
func merge(all []resource, r resource) []resource {
	i := slices.IndexFunc(all, func(known resource) bool { return known.group == r.group && known.name == r.name })
	if i < 0 {
		return append(all, resource{r.group, r.name, r.namespaced, slices.Clone(r.verbs)})
	}
	for _, verb := range r.verbs {
		if !slices.Contains(all[i].verbs, verb) {
			all[i].verbs = append(all[i].verbs, verb)
		}
	}
	return all
}

// paths returns the paths in the API server's own list, and some that may be missing there.
func paths(t *testing.T, env *testenv.Env) []string {
	t.Helper()
	answer := call{method: http.MethodGet, path: "/"}.send(t, env.Config)
	var index struct{ Paths []string }
	if err := json.Unmarshal(answer.body, &index); err != nil {
		t.Fatalf("the API server's list of paths is %q: %v", answer.body, err)
	}
	all := append(index.Paths,
		"/", "/*", "*", "/api", "/apis", "/version", "/version/", "/healthz", "/livez", "/readyz", "/openapi/v2", "/openapi/v3",
		"/.well-known/openid-configuration", "/openid/v1/jwks",
		"/metrics", "/metrics/slis", "/metrics/cadvisor", "/logs", "/logs/kube-apiserver.log", "/configz", "/flagz", "/statusz",
		"/debug/pprof", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile", "/debug/flags/v",
		"/debug/api_priority_and_fairness/dump_requests")
	slices.Sort(all)
	return slices.Compact(all)
}
