package benchmark

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// apiResource is a resource that the API server serves, or a subresource ("pods/exec").
type apiResource struct {
	schema.GroupVersion
	name       string
	namespaced bool
	verbs      []string
}

// String returns the resource's name as it is written with its group.
func (r apiResource) String() string {
	if r.Group == "" {
		return r.name
	}
	base, sub, found := strings.Cut(r.name, "/")
	if found {
		return base + "." + r.Group + "/" + sub
	}
	return base + "." + r.Group
}

// base returns the resource that a subresource belongs to.
func (r apiResource) base() string {
	base, _, _ := strings.Cut(r.name, "/")
	return base
}

func (r apiResource) isSub() bool { return strings.Contains(r.name, "/") }

// discover lists what the API server serves, each group and name once.
func (c *clusterT) discover() []apiResource {
	c.Helper()
	d, err := discovery.NewDiscoveryClientForConfig(c.env.Config)
	if err != nil {
		c.Fatal(err)
	}
	_, lists, err := d.ServerGroupsAndResources()
	if err != nil {
		c.Fatal(err)
	}
	var all []apiResource
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			c.Fatal(err)
		}
		for _, each := range list.APIResources {
			known := slices.ContainsFunc(all, func(r apiResource) bool { return r.Group == gv.Group && r.name == each.Name })
			if !known {
				all = append(all, apiResource{GroupVersion: gv, name: each.Name, namespaced: each.Namespaced, verbs: each.Verbs})
			}
		}
	}
	return all
}

// family returns a resource and its subresources.
func (c *clusterT) family(group, name string) []apiResource {
	c.Helper()
	found := slices.DeleteFunc(slices.Clone(c.api), func(r apiResource) bool { return r.Group != group || r.base() != name })
	if len(found) == 0 {
		c.Fatalf("the API server has no %s in %q", name, group)
	}
	return found
}

func (c *clusterT) resource(group, name string) apiResource {
	c.Helper()
	for _, r := range c.family(group, name) {
		if r.name == name {
			return r
		}
	}
	c.Fatalf("the API server has no %s in %q", name, group)
	return apiResource{}
}

// request is a request to the API server. It changes nothing if it is allowed, since it is
// a dry run.
type request struct {
	verb            string
	resource        apiResource
	namespace, name string
	body            any
	// lax makes the API server drop unknown fields instead of refusing them.
	lax bool
}

// methods are the HTTP methods of RBAC's verbs.
var methods = map[string]string{
	"get": http.MethodGet, "list": http.MethodGet, "watch": http.MethodGet, "create": http.MethodPost, "update": http.MethodPut,
	"patch": http.MethodPatch, "delete": http.MethodDelete, "deletecollection": http.MethodDelete,
}

func (r request) String() string {
	return fmt.Sprintf("%s %s %q in %q", r.verb, r.resource, r.name, r.namespace)
}

func (r request) path() string {
	parts := []string{"/api", r.resource.Version}
	if r.resource.Group != "" {
		parts = []string{"/apis", r.resource.Group, r.resource.Version}
	}
	if r.namespace != "" {
		parts = append(parts, "namespaces", r.namespace)
	}
	base, sub, isSub := strings.Cut(r.resource.name, "/")
	parts = append(parts, base)
	if isSub || slices.Contains([]string{"get", "update", "patch", "delete"}, r.verb) {
		parts = append(parts, r.name)
	}
	if isSub {
		parts = append(parts, sub)
	}
	return strings.Join(parts, "/")
}

// clients are reused, since a connection for each of thousands of requests would use up
// the ports.
var clients sync.Map

func (c *clusterT) clientOf(user string) rest.Interface {
	c.Helper()
	if found, ok := clients.Load(user); ok {
		return found.(rest.Interface)
	}
	config := rest.CopyConfig(c.env.Config)
	if user != clusterAdmin {
		config = c.env.As(user)
	}
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	made, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		c.Fatal(err)
	}
	clients.Store(user, made)
	return made
}

// clusterAdmin is the user with the cluster's own configuration.
const clusterAdmin = ""

// ask sends the request as the user and returns the answer.
func (c *clusterT) ask(user string, r request) ([]byte, error) {
	c.Helper()
	method, ok := methods[r.verb]
	if !ok {
		c.Fatalf("unknown verb %q", r.verb)
	}
	call := c.clientOf(user).Verb(method).AbsPath(r.path()).SetHeader("Accept", "application/json")
	switch r.verb {
	case "watch":
		call.Param("watch", "true").Param("timeoutSeconds", "1")
	case "create", "update", "patch":
		body := r.body
		if body == nil {
			body = map[string]any{}
		}
		content, err := json.Marshal(body)
		if err != nil {
			c.Fatal(err)
		}
		kind := "application/json"
		if r.verb == "patch" {
			kind = "application/merge-patch+json"
		}
		validation := "Strict"
		if r.lax {
			validation = "Ignore"
		}
		call.Param("dryRun", "All").Param("fieldValidation", validation).SetHeader("Content-Type", kind).Body(content)
	case "delete", "deletecollection":
		call.Param("dryRun", "All")
	}
	result := call.Do(c.Context())
	// Raw alone does not decode the Status in a refusal.
	if err := result.Error(); err != nil {
		return nil, err
	}
	return result.Raw()
}

// rbacRefusal returns RBAC's refusal of exactly this request.
func (r request) rbacRefusal() refusal {
	return refusal{byRBAC, r.verb + " " + r.resource.name + " in " + r.resource.Group}
}

// refusedByRBAC sends all requests as all users. It returns those that RBAC did not refuse,
// and the number of requests.
func (c *clusterT) refusedByRBAC(users []string, requests []request) (through []string, count int) {
	c.Helper()
	for _, user := range users {
		for _, r := range requests {
			count++
			_, err := c.ask(user, r)
			if refusalOf(err) != r.rbacRefusal() {
				through = append(through, fmt.Sprintf("%s as %s (%v)", r, user, err))
			}
		}
	}
	return through, count
}

// wantRBAC fails the test unless RBAC refuses all requests, and returns their number.
func (c *clusterT) wantRBAC(users []string, requests []request) int {
	c.Helper()
	through, count := c.refusedByRBAC(users, requests)
	for i, each := range through {
		if i == 5 {
			c.Errorf("and %d more", len(through)-i)
			break
		}
		c.Errorf("RBAC does not refuse: %s", each)
	}
	if count == 0 {
		c.Error("there was no request")
	}
	return count
}

// every returns requests with every verb that the API server has for the resources.
func every(resources []apiResource, namespace, name string) []request {
	var all []request
	for _, r := range resources {
		for _, verb := range r.verbs {
			all = append(all, request{verb: verb, resource: r, namespace: namespace, name: name})
		}
	}
	return all
}

// writes returns the requests that change something, and those to subresources, which may
// be a way into a pod. Members may read logs.
func writes(resources []apiResource, namespace, name string) []request {
	return slices.DeleteFunc(every(resources, namespace, name), func(r request) bool {
		reads := slices.Contains([]string{"get", "list", "watch"}, r.verb)
		return reads && !r.resource.isSub() || r.resource.name == "pods/log"
	})
}
