package dashboard_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// later makes jobs of these names that do not become due in this test.
func later(t *testing.T, in *client.Workspace, names ...string) {
	t.Helper()
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(16)
	for _, name := range names {
		group.Go(func() error {
			_, err := in.Schedule(ctx, "play", nil, time.Hour, client.WithName(name))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// removedAfter removes the jobs after the test, since other tests read this workspace's names.
func removedAfter(t *testing.T, in *client.Workspace, names ...string) {
	t.Helper()
	t.Cleanup(func() {
		for _, name := range names {
			_ = in.Delete(context.WithoutCancel(t.Context()), name)
		}
	})
}

var row = regexp.MustCompile(`id="open-(?:recurring-)?([^"]+)"`)

// rowsOf returns the rows of a page's tables.
func rowsOf(p *answer) []string {
	var names []string
	for _, match := range row.FindAllStringSubmatch(p.body, -1) {
		names = append(names, match[1])
	}
	return names
}

func TestSearchByAPartOfAName(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	later(t, l.acme, "night-report-1", "report-of-fees", "fees-only")
	later(t, l.globex, "globex-report-of-fees")
	removedAfter(t, l.globex, "globex-report-of-fees")
	if _, err := l.acme.AddOrUpdateRecurring(t.Context(), "fees-report-yearly", "play", nil, "@yearly"); err != nil {
		t.Fatal(err)
	}
	l.until(t, "report-of-fees", v1alpha1.StateScheduled)
	for _, account := range []string{"viewer", "editor"} {
		v := l.as(t, account)
		for _, text := range []string{"report", "REPORT", "+rePort+", "-report", "report-"} {
			want := map[string][]string{
				"-report": {"fees-report-yearly", "night-report-1"}, "report-": {"fees-report-yearly", "night-report-1", "report-of-fees"},
			}[text]
			if want == nil {
				want = []string{"fees-report-yearly", "night-report-1", "report-of-fees"}
			}
			p := v.get("/hangfire/acme/search?q="+text+"&by=name").want(http.StatusOK, "Searched ", "There are no more names.").without("globex", "Search further")
			if names := slices.Sorted(slices.Values(rowsOf(p))); !slices.Equal(names, want) {
				t.Errorf("%s finds by %q %v", account, text, names)
			}
		}
		v.get("/hangfire/acme/search?q=of-fees&by=name").want(http.StatusOK, "Scheduled", `value="of-fees"`)
		for text, path := range map[string]string{"report-of-fees": "jobs/report-of-fees", "Report-Of-Fees": "jobs/report-of-fees", "fees-report-yearly": "recurring/fees-report-yearly"} {
			if p := v.get("/hangfire/acme/search?by=name&q=" + text); p.path != "/hangfire/acme/"+path {
				t.Errorf("%s leads to %s", text, p.path)
			}
		}
		v.get("/hangfire/acme/search?q=no-such-name&by=name").want(http.StatusOK, "No job or recurring job here has <b>no-such-name</b> in its name", "Try a shorter part", "Show all jobs")
		for _, text := range []string{"no_such", "..%2F..%2Fx", "a.b", strings.Repeat("a", 59), "%C3%A4"} {
			v.get("/hangfire/acme/search?by=name&q="+text).want(http.StatusOK, "No name contains").without("Searched")
		}
	}
	l.as(t, "viewer").get("/hangfire/acme/search?q=of-fees&by=name").want(http.StatusOK, "report-of-fees").without("checkbox", "Delete selected")
	l.as(t, "editor").get("/hangfire/acme/search?q=of-fees&by=name").want(http.StatusOK, "Delete selected", `value="/hangfire/acme/search?q=of-fees&amp;by=name"`)
	p := l.as(t, "editor").press("/hangfire/acme/jobs/delete", "job", "report-of-fees", "confirmed", "yes", "back", "/hangfire/acme/search?q=of-fees&by=name")
	if p.want(http.StatusOK, "The job was deleted."); !strings.HasPrefix(p.path, "/hangfire/acme/search?") {
		t.Errorf("it leads back to %s", p.path)
	}
}

func TestOnlyAUserWhoMayListJobsCanSearch(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	later(t, l.acme, "seen-by-few")
	if _, err := l.acme.AddOrUpdateRecurring(t.Context(), "hidden-from-few", "play", nil, "@yearly"); err != nil {
		t.Fatal(err)
	}
	meta := metav1.ObjectMeta{Namespace: "workspace-acme", Name: "few"}
	for _, err := range []error{
		l.env.MakeAccount(t.Context(), meta.Namespace, meta.Name),
		l.env.Client.Create(t.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{v1alpha1.Group}, Resources: []string{"workspacejobs"}, Verbs: []string{"get", "list"},
		}}}),
		l.env.Client.Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "few"},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: meta.Namespace, Name: meta.Name}},
		}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	v := l.as(t, "few")
	for _, path := range []string{"few&by=name", "few&in=recurring"} {
		v.get("/hangfire/acme/search?q="+path).want(http.StatusOK, "seen-by-few").without("hidden-from-few", "recurring")
	}
}

func TestASearchThatFindsManyIsPaged(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	want := map[string]bool{"many-sought": true}
	if _, err := l.acme.AddOrUpdateRecurring(t.Context(), "many-sought", "play", nil, "@yearly"); err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range 105 {
		names = append(names, fmt.Sprintf("x%03d-sought", i))
		want[names[i]] = true
	}
	later(t, l.acme, names...)
	v := l.as(t, "editor")
	pages := 1
	for p := v.get("/hangfire/acme/search?q=sought&by=name"); pages <= 3; pages++ {
		found := rowsOf(p.want(http.StatusOK))
		if len(found) > 50 {
			t.Errorf("page %d has %d rows", pages, len(found))
		}
		for _, name := range found {
			if !want[name] {
				t.Errorf("%s is found twice, or should not be", name)
			}
			delete(want, name)
		}
		if !strings.Contains(p.body, "Search further") {
			p.want(http.StatusOK, "There are no more names.", "Search from the first name")
			break
		}
		p.want(http.StatusOK, "There are more names.")
		p = v.get(linkOf(t, p))
	}
	if len(want) > 0 || pages != 3 {
		t.Errorf("%d pages; not found: %v", pages, want)
	}
}

// TestASearchLooksAtSoManyNames checks that a search stops after so many names, and continues
// when it is asked to.
func TestASearchLooksAtSoManyNames(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	if err := l.env.MakeTenant(t.Context(), "haystack"); err != nil {
		t.Fatal(err)
	}
	names := []string{"z-needle"}
	for i := range 2000 {
		names = append(names, fmt.Sprintf("hay-%04d", i))
	}
	later(t, client.New(l.env.Config).For("haystack"), names...)
	v := l.as(t, "workspace-haystack/viewer")
	first := v.get("/hangfire/haystack/search?q=needle&by=name").want(http.StatusOK, "Searched 2000 names of jobs", "none contains", "Search further, or enter the whole name").without("z-needle")
	v.get(linkOf(t, first)).want(http.StatusOK, "1 more name of jobs", "1 contains", "z-needle", "There are no more names.")
	v.get("/hangfire/haystack/search?q=needle&by=name&in=jobs&continue=x").want(http.StatusUnprocessableEntity)
}
