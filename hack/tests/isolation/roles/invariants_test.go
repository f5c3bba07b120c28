package roles

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

const jobs = "jobs.openradius.io"

// invariants hold whatever the roles and the page say.
var invariants = map[string]func(*findings) []string{
	"members write jobs and recurring jobs only":       writeJobsOnly,
	"a viewer writes nothing":                          viewerWritesNothing,
	"members see no Secret, and nothing by way of one": noSecrets,
	"members have nothing outside of their namespace":  nothingElsewhere,
	"the runner has nothing":                           runnerHasNothing,
	"each role has more than the one before":           ordered,
	"each role is of use":                              useful,
	"everybody may ask about themselves only":          everybodyHasLittle,
	"a cluster admin may do all that was asked":        adminMayAll,
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

// reads: get of a subresource may be a way in, as of pods/exec; of a log it is not.
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

// noSecrets: ConfigMaps and ServiceAccounts' tokens are as good, and so are the
// objects in which other software keeps its credentials.
func noSecrets(f *findings) []string {
	return f.faults(slices.Concat(members, []identity{runner, stranger}), places, func(a action) bool {
		name := strings.Split(a.resource, "/")[0]
		return slices.Contains([]string{"secrets", "configmaps", "serviceaccounts", "certificatesigningrequests"}, name) || strings.Contains(a.resource, "*")
	})
}

func nothingElsewhere(f *findings) []string {
	return f.faults(members, elsewhere, func(action) bool { return true })
}

// accountsRead is what Kubernetes lets each ServiceAccount of a cluster read: by
// which certificates and keys its servers and its tokens are known, which are public.
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
			faults = append(faults, fmt.Sprintf("%s has nothing that %s lacks", more.name, less.name))
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

// everybodyHasLittle: else a right that everybody got by mistake would be none that
// members have beyond everybody.
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
				faults = append(faults, fmt.Sprintf("the cluster admin may not in %q %s", namespace, a))
			}
		}
	}
	return faults
}

// faults are what one of who may do in one of the namespaces, beyond everybody, and
// should not. Of the stranger it is all.
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
					faults = append(faults, fmt.Sprintf("%s may in %q %s", one.name, namespace, a))
				}
			}
		}
	}
	return faults
}

// TestHolesAreNoticed: the invariants that a hole breaks are known, so that each is
// seen to notice something.
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
			broken: []string{"members write jobs and recurring jobs only", "a viewer writes nothing"}},
		{who: members, namespace: own, allow: action{verb: "get", resource: "pods/exec"},
			broken: []string{"members write jobs and recurring jobs only", "a viewer writes nothing"}},
		{who: members[1:], namespace: own, allow: action{verb: "patch", group: jobs, resource: "workspacejobs/status"},
			broken: []string{"members write jobs and recurring jobs only"}},
		{who: members[2:], namespace: own, allow: action{verb: "bind", group: "rbac.authorization.k8s.io", resource: "clusterroles"},
			broken: []string{"members write jobs and recurring jobs only"}},
		{who: members, namespace: own, allow: action{verb: "create", group: jobs, resource: "workspacejobs"},
			broken: []string{"a viewer writes nothing"}},
		{who: members[2:], namespace: own, allow: action{verb: "get", resource: "secrets"},
			broken: []string{"members see no Secret, and nothing by way of one"}},
		{who: members[2:], namespace: own, allow: action{verb: "list", group: "*", resource: "*"},
			broken: []string{"members see no Secret, and nothing by way of one"}},
		{who: members, namespace: other, allow: action{verb: "get", group: jobs, resource: "workspacejobs"},
			broken: []string{"members have nothing outside of their namespace"}},
		{who: members[:1], namespace: clusterWide, allow: action{verb: "list", resource: "nodes"},
			broken: []string{"members have nothing outside of their namespace"}},
		{who: members, namespace: clusterWide, allow: action{verb: "get", path: "/metrics"},
			broken: []string{"a viewer writes nothing", "members have nothing outside of their namespace", "members write jobs and recurring jobs only"}},
		{who: []identity{runner}, namespace: own, allow: action{verb: "get", resource: "pods"},
			broken: []string{"the runner has nothing"}},
		{who: []identity{runner}, namespace: clusterWide, allow: action{verb: "post", path: "/openid/v1/jwks"},
			broken: []string{"the runner has nothing"}},
		{who: members[:1], namespace: own, allow: action{verb: "list", group: "apps", resource: "deployments"},
			broken: []string{"each role has more than the one before"}},
		{who: members, namespace: own, allow: action{verb: "watch", group: jobs, resource: "workspacejobs"}, refuse: true,
			broken: []string{"each role is of use"}},
		{who: everybody, namespace: other, allow: action{verb: "list", resource: "pods"},
			broken: []string{"everybody may ask about themselves only"}},
		{who: everybody, namespace: clusterWide, allow: action{verb: "get", path: "/logs"},
			broken: []string{"everybody may ask about themselves only"}},
		{who: everybody, namespace: own, allow: action{verb: "get", resource: "secrets"},
			broken: []string{"everybody may ask about themselves only", "members see no Secret, and nothing by way of one"}},
		{who: []identity{clusterAdmin}, namespace: own, allow: action{verb: "get", resource: "secrets"}, refuse: true,
			broken: []string{"a cluster admin may do all that was asked"}},
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
				t.Errorf("these invariants notice it: %q, instead of %q", broken, hole.broken)
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
