package roles

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// notable are the refusals that readers of the page search for.
var notable = []struct {
	what  string
	names map[string][]string // resources by API group
	verbs []string            // nil: all verbs in the questions
	why   string
}{
	{"Secrets, ConfigMaps", map[string][]string{"": {"secrets", "configmaps"}}, nil,
		"the database's URL is in a Secret"},
	{"pods", map[string][]string{"": {"pods"}}, writeVerbs,
		"a pod can mount every Secret of the namespace; to stop a job, use `cancelled: true`"},
	{"access to pods", map[string][]string{"": {"pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "pods/ephemeralcontainers", "pods/eviction", "pods/resize", "pods/status"}}, nil,
		"a process in a pod can read the database's URL"},
	{"workloads", map[string][]string{"batch": {"jobs", "cronjobs"}}, writeVerbs,
		"they create pods; only the operator creates them"},
	{"other workloads", map[string][]string{
		"": {"replicationcontrollers", "services", "endpoints", "persistentvolumeclaims"}, "apps": {"deployments", "daemonsets", "statefulsets", "replicasets"},
	}, nil, "the same"},
	{"ServiceAccounts and their tokens", map[string][]string{"": {"serviceaccounts", "serviceaccounts/token"}}, nil,
		"nobody can act as the runner; no pod has its token either"},
	{"rights", map[string][]string{"rbac.authorization.k8s.io": {"roles", "clusterroles", "clusterrolebindings"}}, nil,
		"the verbs `bind` and `escalate` too"},
	{"members", map[string][]string{"rbac.authorization.k8s.io": {"rolebindings"}}, writeVerbs,
		"the Workspace says who is a member"},
	{"impersonation", map[string][]string{
		"": {"users", "groups", "serviceaccounts"}, "authentication.k8s.io": {"users", "groups", "serviceaccounts", "nodes", "uids", "userextras"},
	}, []string{"impersonate"}, "also each newer form (`impersonate:user-info`, …)"},
	{"network isolation", map[string][]string{"networking.k8s.io": {"networkpolicies"}}, writeVerbs,
		"platform admins set `network.egress` on the Workspace"},
	{"limits", map[string][]string{"": {"resourcequotas", "limitranges", "resourcequotas/status"}}, writeVerbs,
		"platform admins set `quota` on the Workspace"},
	{"a job's status", map[string][]string{jobs: {
		"workspacejobs/status", "workspacerecurringjobs/status", "workspacejobs/finalizers", "workspacerecurringjobs/finalizers",
	}}, nil, "a state or a result can't be forged; members read it in the object itself"},
	{"the Workspace", map[string][]string{jobs: {"workspaces", "workspaces/status", "workspaces/finalizers"}}, nil,
		"platform admins set image, database, members and limits"},
	{"the namespace", map[string][]string{"": {"namespaces", "namespaces/status", "namespaces/finalize"}}, nil,
		"its labels decide what Pod Security enforces"},
	{"the cluster", map[string][]string{
		"": {"nodes", "nodes/proxy", "persistentvolumes"}, "apiextensions.k8s.io": {"customresourcedefinitions"},
		"admissionregistration.k8s.io": {"validatingwebhookconfigurations", "mutatingwebhookconfigurations", "validatingadmissionpolicies", "validatingadmissionpolicybindings"},
		"certificates.k8s.io":          {"certificatesigningrequests", "certificatesigningrequests/approval", "signers"},
	}, nil, "neither read nor write"},
}

// matches returns the questions about resources and verbs, by namespace.
func (f *findings) matches(names map[string][]string, verbs []string) map[string][]action {
	all := map[string][]action{}
	for _, place := range []string{own, clusterWide} {
		for _, a := range f.ask(place) {
			if slices.Contains(names[a.group], a.resource) && (verbs == nil || slices.Contains(verbs, a.verb)) {
				all[place] = append(all[place], a)
			}
		}
	}
	return all
}

// notRefused returns which of notable somebody may do, or for which there is no question.
func (f *findings) notRefused() []string {
	var faults []string
	for _, n := range notable {
		asked := map[string]bool{}
		for place, actions := range f.matches(n.names, n.verbs) {
			for _, a := range actions {
				asked[a.group+"/"+a.resource] = true
				for _, who := range append(slices.Clone(members), runner) {
					if f.of(who, place)[a] {
						faults = append(faults, fmt.Sprintf("in %q %s may %s, but the page says no", place, who.name, a))
					}
				}
			}
		}
		for group, names := range n.names {
			for _, name := range names {
				if !asked[group+"/"+name] {
					faults = append(faults, fmt.Sprintf("there is no question about %s of %q", name, group))
				}
			}
		}
	}
	return faults
}

func (f *findings) refusedTable() string {
	var table strings.Builder
	fmt.Fprint(&table, "| refused to all three | resources | verbs | |\n| --- | --- | --- | --- |\n")
	for _, n := range notable {
		var names []string
		for _, group := range slices.Sorted(maps.Keys(n.names)) {
			for _, name := range n.names[group] {
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
		verbs := "all"
		if n.verbs != nil {
			verbs = quoted(n.verbs)
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", n.what, quoted(names), verbs, n.why)
	}
	resources, subs := count(f.served)
	allowedResources, allowedSubs := count(f.allowed())
	fmt.Fprintf(&table, "\nAll else is refused too: Kubernetes %s with Workspace Jobs serves %d resources and %d\nsubresources, and the three roles have rights to %d and %d of them.\n",
		f.version, resources, subs, allowedResources, allowedSubs)
	return table.String()
}

func count(all []resource) (resources, subs int) {
	for _, r := range all {
		if r.sub() {
			subs++
		} else {
			resources++
		}
	}
	return resources, subs
}
