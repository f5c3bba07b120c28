package roles

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// try is a request that is really sent, with the member's own token. It is a dry run, so it
// changes nothing if it is allowed.
type try struct {
	call
	// allowed are the members who may do it. It is refused to all others.
	allowed []identity
}

var (
	nobody  []identity
	anyone  = members
	writers = []identity{editor, admin}
	admins  = []identity{admin}
)

const (
	core    = "/api/v1/namespaces/" + own
	jobsAPI = "/apis/jobs.openradius.io/v1alpha1"
	rbacAPI = "/apis/rbac.authorization.k8s.io/v1"
	dryRun  = "?dryRun=All"

	newJob       = `{"apiVersion":"jobs.openradius.io/v1alpha1","kind":"WorkspaceJob","metadata":{"generateName":"new-"},"spec":{"handler":"sql"}}`
	newRecurring = `{"apiVersion":"jobs.openradius.io/v1alpha1","kind":"WorkspaceRecurringJob","metadata":{"generateName":"new-"},"spec":{"schedule":"@daily","template":{"handler":"sql"}}}`
	newSecret    = `{"metadata":{"generateName":"new-"}}`
	newPod       = `{"metadata":{"generateName":"new-"},"spec":{"securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}},"containers":[` + container + `]}}`
	container    = `{"name":"c","image":"registry.example.net/shell:1","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}`
	template     = `{"template":{"spec":{"restartPolicy":"Never","securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}},"containers":[` + container + `]}}}`
	toAdmin      = `"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"},"subjects":[{"kind":"ServiceAccount","namespace":"staff","name":"editor"}]}`
	newRole      = `{"metadata":{"generateName":"new-"},"rules":[{"apiGroups":[""],"resources":["secrets"],"verbs":["get"]}]}`
	touch        = `{"metadata":{"annotations":{"touched":"yes"}}}`
)

// tries returns requests inside and outside the namespace of the members' workspace. pod is
// the name of the migration's pod, and "job" that of a job that the test created.
func tries(pod string) []try {
	ownJobs := jobsAPI + "/namespaces/" + own + "/workspacejobs"
	return []try{
		{get(ownJobs), anyone}, {get(ownJobs + "/job"), anyone},
		{post(ownJobs+dryRun, newJob), writers}, {patch(ownJobs+"/job"+dryRun, touch), writers},
		{remove(ownJobs + "/job" + dryRun), writers}, {remove(ownJobs + dryRun), writers},
		{post(jobsAPI+"/namespaces/"+own+"/workspacerecurringjobs"+dryRun, newRecurring), writers},
		{patch(ownJobs+"/job/status"+dryRun, `{"status":{"state":"Succeeded"}}`), nobody},

		{get(jobsAPI + "/namespaces/" + other + "/workspacejobs"), nobody}, {get(jobsAPI + "/workspacejobs"), nobody},
		{post(jobsAPI+"/namespaces/"+other+"/workspacejobs"+dryRun, newJob), nobody},
		{get("/api/v1/namespaces/" + other + "/pods"), nobody}, {get("/api/v1/pods"), nobody},
		{get("/api/v1/namespaces/kube-system/pods"), nobody},

		{get(core + "/pods/" + pod), anyone}, {get(core + "/pods/" + pod + "/log"), anyone}, {get(core + "/events"), anyone},
		{get("/apis/batch/v1/namespaces/" + own + "/jobs"), anyone},
		{post(core+"/pods"+dryRun, newPod), nobody}, {patch(core+"/pods/"+pod+dryRun, touch), nobody},
		{remove(core + "/pods/" + pod + dryRun), nobody},
		{post(core+"/pods/"+pod+"/exec?command=sh", ""), nobody}, {get(core + "/pods/" + pod + "/exec?command=sh"), nobody},
		{post(core+"/pods/"+pod+"/attach", ""), nobody}, {post(core+"/pods/"+pod+"/portforward", ""), nobody},
		{get(core + "/pods/" + pod + "/proxy/"), nobody},
		{patch(core+"/pods/"+pod+"/ephemeralcontainers"+dryRun, touch), nobody},
		{post(core+"/pods/"+pod+"/eviction"+dryRun, `{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"`+pod+`"}}`), nobody},
		{post("/apis/batch/v1/namespaces/"+own+"/jobs"+dryRun, `{"metadata":{"generateName":"new-"},"spec":`+template+`}`), nobody},
		{post("/apis/batch/v1/namespaces/"+own+"/cronjobs"+dryRun,
			`{"metadata":{"generateName":"new-"},"spec":{"schedule":"@daily","jobTemplate":{"spec":`+template+`}}}`), nobody},

		{get(core + "/secrets/database"), nobody}, {get(core + "/secrets"), nobody}, {post(core+"/secrets"+dryRun, newSecret), nobody},
		{get(core + "/configmaps"), nobody},
		{post(core+"/serviceaccounts/runner/token"+dryRun, `{"spec":{"expirationSeconds":600}}`), nobody},
		{post(core+"/serviceaccounts"+dryRun, newSecret), nobody},

		{get(rbacAPI + "/namespaces/" + own + "/rolebindings"), admins},
		{post(rbacAPI+"/namespaces/"+own+"/rolebindings"+dryRun, `{"metadata":{"generateName":"new-"},`+toAdmin), nobody},
		{post(rbacAPI+"/clusterrolebindings"+dryRun, `{"metadata":{"generateName":"new-"},`+toAdmin), nobody},
		{post(rbacAPI+"/namespaces/"+own+"/roles"+dryRun, newRole), nobody}, {post(rbacAPI+"/clusterroles"+dryRun, newRole), nobody},
		{patch(rbacAPI+"/namespaces/"+own+"/rolebindings/workspace-jobs-admin"+dryRun, touch), nobody},
		{patch(rbacAPI+"/clusterroles/workspace-jobs-editor"+dryRun, touch), nobody},

		{get("/apis/networking.k8s.io/v1/namespaces/" + own + "/networkpolicies"), admins},
		{remove("/apis/networking.k8s.io/v1/namespaces/" + own + "/networkpolicies/workspace-jobs-default-deny" + dryRun), nobody},
		{get(core + "/resourcequotas/workspace-jobs"), admins}, {patch(core+"/resourcequotas/workspace-jobs"+dryRun, touch), nobody},
		{get(core + "/limitranges/workspace-jobs"), admins}, {remove(core + "/limitranges/workspace-jobs" + dryRun), nobody},

		{get(jobsAPI + "/workspaces"), nobody}, {get(jobsAPI + "/workspaces/acme"), nobody},
		{patch(jobsAPI+"/workspaces/acme"+dryRun, touch), nobody}, {patch(jobsAPI+"/workspaces/acme/status"+dryRun, touch), nobody},
		{get(core), nobody}, {patch(core+dryRun, touch), nobody}, {remove(core + dryRun), nobody},
		{get("/api/v1/nodes"), nobody}, {get("/metrics"), nobody}, {get("/debug/pprof/"), nobody},
		{call{method: http.MethodGet, path: ownJobs, impersonate: testenv.ManagerUser}, nobody},
		{call{method: http.MethodGet, path: ownJobs, impersonate: viewer.user}, nobody},
	}
}

func get(path string) call         { return call{method: http.MethodGet, path: path} }
func remove(path string) call      { return call{method: http.MethodDelete, path: path} }
func post(path, body string) call  { return call{method: http.MethodPost, path: path, body: body} }
func patch(path, body string) call { return call{method: http.MethodPatch, path: path, body: body} }

// TestTries checks that the API server refuses what it says that somebody may not do, and
// answers everything else as it answers a cluster admin.
func TestTries(t *testing.T) {
	t.Parallel()
	env := tenant.get(t)
	create(t, env, objects.MakeWorkspaceJob("job").In(own).Obj())
	create(t, env, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: staff, Name: accountOf(stranger)}})
	callers := map[string]*rest.Config{
		stranger.name: withToken(t, env, staff, accountOf(stranger)),
		runner.name:   withToken(t, env, own, v1alpha1.RunnerServiceAccount),
	}
	for _, who := range members {
		create(t, env, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: staff, Name: accountOf(who)}})
		callers[who.name] = withToken(t, env, staff, accountOf(who))
	}
	for _, try := range tries(migrationPod(t, env).Name) {
		t.Run(try.method+" "+try.path+" "+try.impersonate, func(t *testing.T) {
			t.Parallel()
			// If the request itself were wrong, its refusals would prove nothing.
			control := try.send(t, env.Config)
			if slices.Contains([]int{401, 403, 404, 405, 415}, control.code) {
				t.Fatalf("the answer to a cluster admin is %d: %s", control.code, control.body)
			}
			for name, config := range callers {
				got := try.send(t, config)
				allowed := slices.ContainsFunc(try.allowed, func(who identity) bool { return who.name == name })
				if allowed && got.code != control.code {
					t.Errorf("the answer to %s is %d, to the cluster admin %d: %s", name, got.code, control.code, got.body)
				}
				if !allowed && !got.refused() {
					t.Errorf("the answer to %s is %d, not a refusal of RBAC: %s", name, got.code, got.body)
				}
				if bytes.Contains(got.body, []byte("the-password")) {
					t.Errorf("the answer to %s has the database's URL: %s", name, got.body)
				}
			}
		})
	}
}

// accountOf returns the name of a person's ServiceAccount.
func accountOf(who identity) string { return strings.ReplaceAll(strings.ToLower(who.name), " ", "-") }

// withToken is a client's configuration with nothing but the ServiceAccount's token.
func withToken(t *testing.T, env *testenv.Env, namespace, name string) *rest.Config {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	request := &authenticationv1.TokenRequest{}
	if err := env.Client.SubResource("token").Create(t.Context(), account, request); err != nil {
		t.Fatalf("a token of %s/%s: %v", namespace, name, err)
	}
	config := rest.AnonymousClientConfig(env.Config)
	config.BearerToken = request.Status.Token
	return config
}

func migrationPod(t *testing.T, env *testenv.Env) *corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	if err := env.Client.List(t.Context(), &pods, client.InNamespace(own)); err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != 1 {
		t.Fatalf("there are %d pods, not only the migration's", len(pods.Items))
	}
	return &pods.Items[0]
}
