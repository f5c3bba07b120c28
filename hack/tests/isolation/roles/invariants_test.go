package roles

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

const jobs = "jobs.openradius.io"

// invariants must hold whatever the roles and the page say.
var invariants = map[string]func(*findings) []string{
	"members write only jobs and recurring jobs":     writeJobsOnly,
	"a viewer writes nothing":                        viewerWritesNothing,
	"members read no Secret":                         noSecrets,
	"members have no rights outside their namespace": nothingElsewhere,
	"the runner has no rights":                       runnerHasNothing,
	"each role has more rights than the one before":  ordered,
	"each role is of use":                            useful,
	"everybody may only ask about themselves":        everybodyHasLittle,
	"a cluster admin may do everything":              adminMayAll,
}

func TestInvariants(t *testing.T) {
	t.Parallel()
	f := find(t)
	for name, faults := range invariants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, fault := range faults(f) {
				t.Error(fault)
			}
		})
	}
}

var (
	readVerbs  = []string{"get", "list", "watch"}
	writeVerbs = []string{"create", "update", "patch", "delete", "deletecollection"}
	jobKinds   = []string{"workspacejobs", "workspacerecurringjobs"}
)

// reads reports whether an action only reads. Verbs on a subresource may do more, as get
// does on pods/exec, but not on a log.
func reads(a action) bool {
	return slices.Contains(readVerbs, a.verb) && a.path == "" && (!strings.Contains(a.resource, "/") || a.resource == "pods/log")
}

func writesJobs(a action) bool {
	return a.group == jobs && slices.Contains(jobKinds, a.resource) && slices.Contains(writeVerbs, a.verb)
}

func writeJobsOnly(f *findings) []string {
	return f.faults(members, places, func(a action) bool { return !reads(a) && !writesJobs(a) })
}

func viewerWritesNothing(f *findings) []string {
	return f.faults([]identity{viewer}, places, func(a action) bool { return !reads(a) })
}

// noSecrets also covers ConfigMaps, the tokens of ServiceAccounts and certificate signing
// requests, by which one could get at credentials.
func noSecrets(f *findings) []string {
	return f.faults(slices.Concat(members, []identity{runner, stranger}), places, func(a action) bool {
		name := strings.Split(a.resource, "/")[0]
		return slices.Contains([]string{"secrets", "configmaps", "serviceaccounts", "certificatesigningrequests"}, name) || strings.Contains(a.resource, "*")
	})
}

func nothingElsewhere(f *findings) []string {
	return f.faults(members, elsewhere, func(action) bool { return true })
}

// accountsRead is what Kubernetes lets each ServiceAccount of a cluster read: the public
// certificates and keys by which its servers and tokens are verified.
var accountsRead = rights{
	{verb: "get", path: "/.well-known/openid-configuration"}:                       true,
	{verb: "get", path: "/openid/v1/jwks"}:                                         true,
	{verb: "get", group: "certificates.k8s.io", resource: "clustertrustbundles"}:   true,
	{verb: "list", group: "certificates.k8s.io", resource: "clustertrustbundles"}:  true,
	{verb: "watch", group: "certificates.k8s.io", resource: "clustertrustbundles"}: true,
}

func runnerHasNothing(f *findings) []string {
	return f.faults([]identity{runner}, places, func(a action) bool { return !accountsRead[a] })
}

func ordered(f *findings) []string {
	var faults []string
	for i, more := range members[1:] {
		less := members[i]
		if lacks := f.of(less, own).without(f.of(more, own)); len(lacks) > 0 {
			faults = append(faults, fmt.Sprintf("%s may not, though %s may: %s", more.name, less.name, lacks))
		}
		if len(f.of(more, own).without(f.of(less, own))) == 0 {
			faults = append(faults, fmt.Sprintf("%s may do no more than %s", more.name, less.name))
		}
	}
	return faults
}

func useful(f *findings) []string {
	var faults []string
	for _, kind := range jobKinds {
		for who, verbs := range map[*identity][]string{&viewer: readVerbs, &editor: writeVerbs, &admin: writeVerbs} {
			for _, verb := range verbs {
				if a := (action{verb: verb, group: jobs, resource: kind}); !f.of(*who, own)[a] {
					faults = append(faults, fmt.Sprintf("%s may not %s", who.name, a))
				}
			}
		}
	}
	return faults
}

// everybodyHasLittle checks the rights of everybody. The other invariants ignore them, so
// they would not notice a right that everybody got by mistake.
func everybodyHasLittle(f *findings) []string {
	return f.faults([]identity{stranger}, places, func(a action) bool {
		if a.path == "" {
			return a.verb != "create" || !strings.HasPrefix(a.resource, "selfsubject")
		}
		return a.verb != "get" || !slices.Contains([]string{"api", "apis", "healthz", "livez", "readyz", "openapi", "version"}, strings.Split(a.path, "/")[1])
	})
}

func adminMayAll(f *findings) []string {
	var faults []string
	for _, namespace := range []string{own, clusterWide} {
		for _, a := range f.ask(namespace) {
			if !f.of(clusterAdmin, namespace)[a] {
				faults = append(faults, fmt.Sprintf("in %q the cluster admin may not %s", namespace, a))
			}
		}
	}
	return faults
}

// faults returns what identities may do in namespaces but should not. Rights that everybody
// has only count for the stranger.
func (f *findings) faults(who []identity, namespaces []string, wrong func(action) bool) []string {
	var faults []string
	for _, one := range who {
		for _, namespace := range namespaces {
			allowed := f.beyond(one, namespace)
			if one.name == stranger.name {
				allowed = f.of(one, namespace)
			}
			for a := range allowed {
				if wrong(a) {
					faults = append(faults, fmt.Sprintf("in %q %s may %s", namespace, one.name, a))
				}
			}
		}
	}
	return faults
}

// TestHolesAreNoticed opens holes and checks which invariants fail, so that each of them is
// seen to fail.
func TestHolesAreNoticed(t *testing.T) {
	t.Parallel()
	f := find(t)
	everybody := slices.Concat(members, []identity{runner, stranger})
	for _, hole := range []struct {
		who       []identity
		namespace string
		allow     action
		refuse    bool
		broken    []string
	}{
		{who: members, namespace: own, allow: action{verb: "create", resource: "pods"},
			broken: []string{"members write only jobs and recurring jobs", "a viewer writes nothing"}},
		{who: members, namespace: own, allow: action{verb: "get", resource: "pods/exec"},
			broken: []string{"members write only jobs and recurring jobs", "a viewer writes nothing"}},
		{who: members[1:], namespace: own, allow: action{verb: "patch", group: jobs, resource: "workspacejobs/status"},
			broken: []string{"members write only jobs and recurring jobs"}},
		{who: members[2:], namespace: own, allow: action{verb: "bind", group: "rbac.authorization.k8s.io", resource: "clusterroles"},
			broken: []string{"members write only jobs and recurring jobs"}},
		{who: members, namespace: own, allow: action{verb: "create", group: jobs, resource: "workspacejobs"},
			broken: []string{"a viewer writes nothing"}},
		{who: members[2:], namespace: own, allow: action{verb: "get", resource: "secrets"},
			broken: []string{"members read no Secret"}},
		{who: members[2:], namespace: own, allow: action{verb: "list", group: "*", resource: "*"},
			broken: []string{"members read no Secret"}},
		{who: members, namespace: other, allow: action{verb: "get", group: jobs, resource: "workspacejobs"},
			broken: []string{"members have no rights outside their namespace"}},
		{who: members[:1], namespace: clusterWide, allow: action{verb: "list", resource: "nodes"},
			broken: []string{"members have no rights outside their namespace"}},
		{who: members, namespace: clusterWide, allow: action{verb: "get", path: "/metrics"},
			broken: []string{"a viewer writes nothing", "members have no rights outside their namespace", "members write only jobs and recurring jobs"}},
		{who: []identity{runner}, namespace: own, allow: action{verb: "get", resource: "pods"},
			broken: []string{"the runner has no rights"}},
		{who: []identity{runner}, namespace: clusterWide, allow: action{verb: "post", path: "/openid/v1/jwks"},
			broken: []string{"the runner has no rights"}},
		{who: members[:1], namespace: own, allow: action{verb: "list", group: "apps", resource: "deployments"},
			broken: []string{"each role has more rights than the one before"}},
		{who: members, namespace: own, allow: action{verb: "watch", group: jobs, resource: "workspacejobs"}, refuse: true,
			broken: []string{"each role is of use"}},
		{who: everybody, namespace: other, allow: action{verb: "list", resource: "pods"},
			broken: []string{"everybody may only ask about themselves"}},
		{who: everybody, namespace: clusterWide, allow: action{verb: "get", path: "/logs"},
			broken: []string{"everybody may only ask about themselves"}},
		{who: everybody, namespace: own, allow: action{verb: "get", resource: "secrets"},
			broken: []string{"everybody may only ask about themselves", "members read no Secret"}},
		{who: []identity{clusterAdmin}, namespace: own, allow: action{verb: "get", resource: "secrets"}, refuse: true,
			broken: []string{"a cluster admin may do everything"}},
	} {
		t.Run(hole.allow.String()+" in "+hole.namespace, func(t *testing.T) {
			t.Parallel()
			holed := f.clone()
			for _, who := range hole.who {
				if hole.refuse {
					delete(holed.of(who, hole.namespace), hole.allow)
				} else {
					holed.of(who, hole.namespace)[hole.allow] = true
				}
			}
			var broken []string
			for name, faults := range invariants {
				if len(faults(holed)) > 0 {
					broken = append(broken, name)
				}
			}
			slices.Sort(broken)
			slices.Sort(hole.broken)
			if !slices.Equal(broken, hole.broken) {
				t.Errorf("the invariants that fail are %q, want %q", broken, hole.broken)
			}
		})
	}
}

func (f *findings) clone() *findings {
	clone := &findings{questions: f.questions, rights: map[string]map[string]rights{}}
	for who, by := range f.rights {
		clone.rights[who] = map[string]rights{}
		for namespace, allowed := range by {
			clone.rights[who][namespace] = maps.Clone(allowed)
		}
	}
	return clone
}
