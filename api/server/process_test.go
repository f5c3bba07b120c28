package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/child"
	"github.com/openradius/workspace-jobs/hack/env/ports"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

var shared = testenv.Shared{Options: testenv.Options{Node: true}}

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

// process is the server as it is deployed: its own process, rights and memory.
type process struct {
	command              *exec.Cmd
	url, metrics, probes string
	// workspace is the one that requests are about.
	workspace string
	// limit is that of its memory, in bytes.
	limit int64
}

func (p *process) namespace() string { return "workspace-" + p.workspace }

// startProcess starts the server until the test ends, with more arguments, and a workspace to
// ask about.
func startProcess(t *testing.T, env *testenv.Env, workspace string, args ...string) *process {
	t.Helper()
	if err := env.MakeTenant(t.Context(), workspace); err != nil {
		t.Fatal(err)
	}
	scratch := t.TempDir()
	binary, err := testenv.Build(t.Context(), scratch, "./api/server")
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(scratch, "kubeconfig")
	account := "server-of-" + workspace
	if err := errors.Join(testenv.WriteKubeconfig(t.Context(), env, account, kubeconfig), grantWorkspaces(t.Context(), env, account)); err != nil {
		t.Fatal(err)
	}
	deployed := deployment(t).Spec.Template.Spec.Containers[0]
	addresses := [3]string{}
	for i := range addresses {
		if addresses[i], err = ports.Address(); err != nil {
			t.Fatal(err)
		}
	}
	p := &process{workspace: workspace, url: "http://" + addresses[0], metrics: "http://" + addresses[1] + "/metrics", probes: "http://" + addresses[2], limit: deployed.Resources.Limits.Memory().Value()}
	log, err := os.Create(filepath.Join(scratch, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	args = append(args, "--bind-address="+addresses[0], "--metrics-bind-address="+addresses[1], "--health-probe-bind-address="+addresses[2], "--log-level=ERROR")
	p.command = exec.Command(binary, args...)
	p.command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	for _, variable := range deployed.Env {
		p.command.Env = append(p.command.Env, variable.Name+"="+variable.Value)
	}
	p.command.Stdout, p.command.Stderr = log, log
	p.command.SysProcAttr = child.EndsWithParent(syscall.SIGKILL)
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.command.Process.Kill()
		_ = p.command.Wait() // it was killed
		if text, err := os.ReadFile(log.Name()); err != nil || len(text) > 0 {
			t.Errorf("it has logged errors: %v\n%.2000s", err, text)
		}
	})
	testenv.Eventually(t, "the server is ready", func(ctx context.Context) error { return p.ready(ctx) })
	return p
}

// grantWorkspaces does what config/server/role.yaml does.
func grantWorkspaces(ctx context.Context, env *testenv.Env, name string) error {
	return errors.Join(
		env.Client.Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{v1alpha1.Group}, Resources: []string{"workspaces"}, Verbs: []string{"list", "watch"},
		}}}),
		env.Client.Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "workspace-jobs-system", Name: name}},
		}),
	)
}

func deployment(t *testing.T) *appsv1.Deployment {
	t.Helper()
	text, err := os.ReadFile("../../config/server/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	deployed := &appsv1.Deployment{}
	if err := yaml.UnmarshalStrict(text, deployed); err != nil {
		t.Fatal(err)
	}
	return deployed
}

func (p *process) ready(ctx context.Context) error {
	_, err := read(ctx, p.probes+"/readyz")
	return err
}

// metric returns a metric of the process that has no labels.
func (p *process) metric(ctx context.Context, name string) (float64, error) {
	text, err := read(ctx, p.metrics)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("there is no metric %s", name)
}

// peak returns the most memory that the process has had, in bytes.
func (p *process) peak(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kilobytes, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

func read(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %.200s", url, answer.Status, text)
	}
	return string(text), err
}
