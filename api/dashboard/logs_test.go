package dashboard_test

import (
	"net/http"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// allow gives an account of acme a right with a role of its own, which it returns.
func (l lab) allow(t *testing.T, account, name string, rules ...rbacv1.PolicyRule) *rbacv1.Role {
	t.Helper()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "workspace-acme", Name: name}, Rules: rules}
	if err := l.env.Client.Create(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: role.Namespace, Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "workspace-acme", Name: account}},
	}
	if err := l.env.Client.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	return role
}

func TestALogEndsWithTheRightToIt(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	if err := l.env.MakeAccount(t.Context(), "workspace-acme", "log-reader"); err != nil {
		t.Fatal(err)
	}
	l.allow(t, "log-reader", "reads-jobs", rbacv1.PolicyRule{APIGroups: []string{v1alpha1.Group}, Resources: []string{"*"}, Verbs: []string{"get", "list", "watch"}})
	logs := l.allow(t, "log-reader", "reads-logs", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods", "pods/log"}, Verbs: []string{"get", "list"}})
	l.run(t, "speaks-secretly", testenv.Part{Hold: true, Log: "it begins\n"})
	job := l.as(t, "log-reader").open("/hangfire/acme/live/jobs/speaks-secretly")
	job.until("log", "it begins")
	if err := l.env.Client.Delete(t.Context(), logs); err != nil {
		t.Fatal(err)
	}
	job.until("log", "Your role does not allow you to read logs here.")
	if err := l.env.Node.Say(t.Context(), "workspace-acme", "speaks-secretly", "a secret\n"); err != nil {
		t.Fatal(err)
	}
	l.env.Node.Release("speaks-secretly")
	job.until("status", "The job speaks-secretly is succeeded.")
	if strings.Contains(job.seen.String(), "a secret") {
		t.Error("it is still sent")
	}
}

// TestALongLineKeepsItsCharacters checks that none of the parts in which a line is sent ends
// within a character.
func TestALongLineKeepsItsCharacters(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.run(t, "speaks-long", testenv.Part{Hold: true, Log: "it begins\n"})
	job := l.as(t, "viewer").open("/hangfire/acme/live/jobs/speaks-long")
	job.until("log", "it begins")
	if err := l.env.Node.Say(t.Context(), "workspace-acme", "speaks-long", "x"+strings.Repeat("é", 20_000)+" and ends\n"); err != nil {
		t.Fatal(err)
	}
	job.until("log-lines", "é and ends")
	l.env.Node.Release("speaks-long")
	if strings.Contains(job.seen.String(), "\uFFFD") {
		t.Error("a character was cut in two")
	}
}

func TestALogThatCannotBeRead(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	v := l.as(t, "viewer")
	l.run(t, "log-is-lost", testenv.Part{Lost: true})
	l.until(t, "log-is-lost", v1alpha1.StateSucceeded)
	v.get("/hangfire/acme/jobs/log-is-lost").want(http.StatusOK, "the node that has it does not answer")
	v.get("/hangfire/acme/jobs/log-is-lost/attempts/1/log").want(http.StatusServiceUnavailable, "the node that has it does not answer").without("127.0.0.1")
	v.get("/hangfire/acme/jobs/log-is-lost/attempts/2/log").want(http.StatusNotFound, "The log is gone")
}
