package manifests

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
)

const (
	operatorName      = "workspace-jobs-manager"
	serverName        = "workspace-jobs-server"
	operatorNamespace = "workspace-jobs-system"
)

// right is what a rule of a role allows, in the words of docs/security.md.
type right struct{ where, what, names, verb string }

var quoted = regexp.MustCompile("`([^`]+)`")

// TestEveryRightIsExplained checks that docs/security.md explains each right of the operator, and
// none that the operator does not have.
func TestEveryRightIsExplained(t *testing.T) {
	t.Parallel()
	granted, explained := grantedRights(t), explainedRights(t)
	for r := range granted {
		if !explained[r] {
			t.Errorf("docs/security.md does not say why the operator has the right to %s %s%s %s", r.verb, r.what, r.names, r.where)
		}
	}
	for r := range explained {
		if !granted[r] {
			t.Errorf("docs/security.md explains a right that the operator does not have: to %s %s%s %s", r.verb, r.what, r.names, r.where)
		}
	}
}

// TestNoRightIsTooWide checks the operator's rights, however well they are explained.
func TestNoRightIsTooWide(t *testing.T) {
	t.Parallel()
	for r := range grantedRights(t) {
		resource, _, _ := strings.Cut(r.what, ".")
		switch {
		case strings.Contains(r.what+r.verb, "*"):
			t.Errorf("a wildcard: %v", r)
		case resource == "secrets", strings.HasPrefix(r.what, "serviceaccounts/"), resource == "pods/exec", resource == "nodes":
			t.Errorf("may %s %s", r.verb, r.what)
		case slices.Contains([]string{"escalate", "impersonate", "deletecollection"}, r.verb):
			t.Errorf("may %s %s", r.verb, r.what)
		case r.verb == "bind" && r.names != " workspace-jobs-admin workspace-jobs-editor workspace-jobs-viewer":
			t.Errorf("may bind%s", r.names)
		case resource == "pods" && !slices.Contains([]string{"list", "watch", "delete"}, r.verb):
			t.Errorf("may %s pods", r.verb)
		case strings.Contains(r.what, "rbac.authorization.k8s.io") && resource != "rolebindings" && r.verb != "bind":
			t.Errorf("may %s %s", r.verb, r.what)
		case r.where != "everywhere" && r.where != operatorNamespace:
			t.Errorf("has a right in %s", r.where)
		}
	}
}

// TestTheServerHasOneRight checks that the server does everything else with its callers' tokens.
func TestTheServerHasOneRight(t *testing.T) {
	t.Parallel()
	want := map[right]bool{
		{"everywhere", "workspaces.jobs.openradius.io", "", "list"}: true, {"everywhere", "workspaces.jobs.openradius.io", "", "watch"}: true,
	}
	if got := rightsOf(t, serverName); !maps.Equal(got, want) {
		t.Errorf("it has %v", got)
	}
}

func grantedRights(t *testing.T) map[right]bool {
	t.Helper()
	return rightsOf(t, operatorName)
}

// rightsOf returns the rights of all roles that config/default binds to the account.
func rightsOf(t *testing.T, account string) map[right]bool {
	t.Helper()
	roles := map[string][]rbacv1.PolicyRule{}
	bound := map[string]bool{}
	for path, document := range documents(t, "config") {
		// Samples and add-ons are not applied with the operator.
		folder := strings.Split(strings.TrimPrefix(path, filepath.Join(root, "config")+"/"), "/")[0]
		if !slices.Contains([]string{"rbac", "manager", "server", "policies", "crd"}, folder) {
			continue
		}
		switch kind := typeOf(t, path, document).Kind; kind {
		case "ClusterRole", "Role":
			var role rbacv1.Role
			strict(t, path, document, &role)
			roles[place(role.Namespace)+"/"+role.Name] = role.Rules
		case "ClusterRoleBinding", "RoleBinding":
			var binding rbacv1.RoleBinding
			strict(t, path, document, &binding)
			accounts := []string{operatorName, serverName}
			if len(binding.Subjects) != 1 || binding.Subjects[0].Kind != "ServiceAccount" ||
				binding.Subjects[0].Namespace != operatorNamespace || !slices.Contains(accounts, binding.Subjects[0].Name) {
				t.Errorf("%s binds %v", path, binding.Subjects)
				continue
			}
			if binding.Subjects[0].Name != account {
				continue
			}
			if kind == "RoleBinding" != (binding.RoleRef.Kind == "Role") {
				t.Errorf("%s binds a %s by a %s", path, binding.RoleRef.Kind, kind)
			}
			bound[place(binding.Namespace)+"/"+binding.RoleRef.Name] = true
		}
	}
	granted := map[right]bool{}
	for name := range bound {
		where, _, _ := strings.Cut(name, "/")
		if roles[name] == nil {
			t.Errorf("there is no role %s", name)
		}
		for _, rule := range roles[name] {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						granted[right{where, strings.TrimSuffix(resource+"."+group, "."), spaced(rule.ResourceNames), verb}] = true
					}
				}
			}
			for _, url := range rule.NonResourceURLs {
				granted[right{where, url, "", strings.Join(rule.Verbs, " ")}] = true
			}
		}
	}
	if len(granted) == 0 {
		t.Fatalf("%s has no rights at all", account)
	}
	return granted
}

func place(namespace string) string {
	if namespace == "" {
		return "everywhere"
	}
	return namespace
}

func spaced(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return " " + strings.Join(slices.Sorted(slices.Values(names)), " ")
}

func explainedRights(t *testing.T) map[right]bool {
	t.Helper()
	explained := map[right]bool{}
	for line := range strings.Lines(string(read(t, filepath.Join(root, "docs/security.md")))) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || strings.Contains(cells[1], "---") || strings.TrimSpace(cells[1]) == "where" {
			continue
		}
		what, names, _ := strings.Cut(cells[2], " named ")
		for _, resource := range quoted.FindAllStringSubmatch(what, -1) {
			for verb := range strings.FieldsSeq(cells[3]) {
				explained[right{strings.TrimSpace(cells[1]), resource[1], spaced(words(names)), verb}] = true
			}
		}
		if len(strings.TrimSpace(cells[4])) < len("schedules") {
			t.Errorf("it gives no reason: %s", line)
		}
	}
	return explained
}

func words(text string) []string {
	var found []string
	for _, word := range quoted.FindAllStringSubmatch(text, -1) {
		found = append(found, word[1])
	}
	return found
}
