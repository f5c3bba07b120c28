package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/child"
	"github.com/openradius/workspace-jobs/hack/env/ports"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// visits is how often each page is requested.
const visits = 50

func pagesCommand(flags *flag.FlagSet) func(context.Context) error {
	o := labFlags(flags)
	n := flags.Int("n", 10000, "how many jobs the workspace has")
	streams := flags.Int("streams", 1000, "how many streams of events are open at once")
	return func(ctx context.Context) error {
		return inLab(ctx, o, func(ctx context.Context, l *lab) error { return measurePages(ctx, l, max(*n, 1), max(*streams, 1)) })
	}
}

// measurePages requests each page of a workspace with n jobs, none of which is due, from
// the server's process, and opens streams of their events.
func measurePages(ctx context.Context, l *lab, n, streams int) error {
	namespaces, err := l.makeWorkspaces(ctx, 1, time.Minute)
	if err != nil {
		return err
	}
	s, err := l.startServer(ctx, namespaces[0])
	if err != nil {
		return err
	}
	say("creating %d jobs", n)
	err = each(ctx, n, func(ctx context.Context, i int) error {
		job := workspaceJob(namespaces[0], fmt.Sprintf("bench-%05d", i))
		job.Spec.Delay = &v1alpha1.Duration{Duration: 24 * time.Hour}
		return l.create(ctx, job)
	})
	if err != nil {
		return err
	}
	if err := l.becomeIdle(ctx); err != nil {
		return err
	}
	t := table{{fmt.Sprintf("a page of a workspace with %d jobs, %d times", n, visits), "p50", "p95", "max"}}
	if err := s.visit(ctx, &t); err != nil {
		return err
	}
	used, err := usageOf(s.process.Process.Pid)
	if err != nil {
		return err
	}
	t.row("the server's resident memory then", megabytes(used.memory), "", megabytes(used.peak))
	if err := s.stream(ctx, l, namespaces[0], streams, &t); err != nil {
		return err
	}
	return t.write(os.Stdout)
}

// pageServer is the server's process, with a user who has signed in.
type pageServer struct {
	process *exec.Cmd
	url     string
	token   string
	browser *http.Client
}

func (l *lab) startServer(ctx context.Context, namespace string) (*pageServer, error) {
	scratch, err := os.MkdirTemp("", "workspace-jobs-pages-")
	if err != nil {
		return nil, err
	}
	l.stops = append(l.stops, func() error { return os.RemoveAll(scratch) })
	say("building the server")
	binary, err := testenv.Build(ctx, scratch, "./api/server")
	if err != nil {
		return nil, err
	}
	const account, editor = "workspace-jobs-server", "editor"
	kubeconfig := filepath.Join(scratch, "kubeconfig")
	if err := testenv.WriteKubeconfig(ctx, l.env, account, kubeconfig); err != nil {
		return nil, err
	}
	subject := func(namespace, name string) []rbacv1.Subject {
		return []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}}
	}
	err = errors.Join(
		l.client.Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: account}, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{v1alpha1.Group}, Resources: []string{"workspaces"}, Verbs: []string{"list", "watch"},
		}}}),
		l.client.Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: account}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: account},
			Subjects: subject("workspace-jobs-system", account),
		}),
		l.env.MakeAccount(ctx, namespace, editor),
		l.client.Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: editor},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "workspace-jobs-editor"}, Subjects: subject(namespace, editor),
		}),
	)
	if err != nil {
		return nil, err
	}
	address, err := ports.Address()
	if err != nil {
		return nil, err
	}
	s := &pageServer{url: "http://" + address}
	if s.token, err = l.env.Token(ctx, namespace, editor); err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	s.browser = &http.Client{Jar: jar, Timeout: time.Minute}
	// The server's limits for a caller are not measured.
	s.process = exec.Command(binary, "--bind-address="+address, "--metrics-bind-address=0", "--health-probe-bind-address=0",
		"--requests-per-second=100000", "--request-burst=100000", "--streams=100000", "--streams-per-caller=100000", "--log-level=ERROR")
	s.process.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, memoryLimit)
	s.process.Stdout, s.process.Stderr = os.Stderr, os.Stderr
	s.process.SysProcAttr = child.EndsWithParent(syscall.SIGKILL)
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	l.stops = append(l.stops, func() error { return errors.Join(s.process.Process.Kill(), ignoreExit(s.process.Wait())) })
	return s, until(ctx, time.Minute, "the user can sign in", func(ctx context.Context) (bool, error) { return s.signIn(ctx), nil })
}

// memoryLimit is that of the Deployment in config/server.
const memoryLimit = "GOMEMLIMIT=200MiB"

func ignoreExit(err error) error {
	if exited := new(exec.ExitError); errors.As(err, &exited) {
		return nil
	}
	return err
}

func (s *pageServer) signIn(ctx context.Context) bool {
	form := url.Values{"token": {s.token}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/hangfire/-/sign-in", strings.NewReader(form))
	if err != nil {
		return false
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Origin", s.url)
	answer, err := s.browser.Do(request)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return err == nil && answer.StatusCode == http.StatusOK && strings.Contains(string(text), "Overview")
}

func (s *pageServer) visit(ctx context.Context, t *table) error {
	const ws = "/hangfire/bench-0"
	for _, path := range []string{
		ws, ws + "/jobs", ws + "/jobs?state=Scheduled", ws + "/jobs?handler=none", ws + "/jobs/bench-00042", ws + "/recurring", ws + "/retries", ws + "/pods",
		// A whole name, a part of many names, and a part of none.
		ws + "/search?by=name&q=bench-00042", ws + "/search?by=name&q=ench", ws + "/search?by=name&q=none",
		"/api/workspaces/bench-0/jobs?state=Scheduled", "/api/workspaces/bench-0/jobs/bench-00042",
	} {
		took := make([]time.Duration, 0, visits)
		for range visits {
			begun := time.Now()
			if err := s.get(ctx, path); err != nil {
				return err
			}
			took = append(took, time.Since(begun))
		}
		t.row("  "+path, milliseconds(quantile(took, 0.5)), milliseconds(quantile(took, 0.95)), milliseconds(quantile(took, 1)))
	}
	return nil
}

func (s *pageServer) get(ctx context.Context, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, http.NoBody)
	if err != nil {
		return err
	}
	if strings.HasPrefix(path, "/api") {
		request.Header.Set("Authorization", "Bearer "+s.token)
	}
	answer, err := s.browser.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, answer.Status)
	}
	return nil
}

// stream opens n streams of events and creates a job that all of them report.
func (s *pageServer) stream(ctx context.Context, l *lab, namespace string, n int, t *table) error {
	say("opening %d streams of events", n)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var opened, reported atomic.Int32
	client := &http.Client{Transport: &http.Transport{}}
	for range n {
		go s.listen(ctx, client, &opened, &reported)
	}
	if err := until(ctx, 3*time.Minute, "the streams are open", func(context.Context) (bool, error) { return int(opened.Load()) == n, nil }); err != nil {
		return fmt.Errorf("%w (%d are)", err, opened.Load())
	}
	begun := time.Now()
	job := workspaceJob(namespace, "new-to-all")
	job.Spec.Delay = &v1alpha1.Duration{Duration: 24 * time.Hour}
	if err := l.create(ctx, job); err != nil {
		return err
	}
	if err := until(ctx, 3*time.Minute, "all streams report a job", func(context.Context) (bool, error) { return int(reported.Load()) == n, nil }); err != nil {
		return fmt.Errorf("%w (%d do)", err, reported.Load())
	}
	took := time.Since(begun)
	used, err := usageOf(s.process.Process.Pid)
	if err != nil {
		return err
	}
	t.row(fmt.Sprintf("%d streams report a job after", n), milliseconds(took), "", "")
	t.row("the server's resident memory then", megabytes(used.memory), "", megabytes(used.peak))
	return nil
}

func (s *pageServer) listen(ctx context.Context, client *http.Client, opened, reported *atomic.Int32) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/workspaces/bench-0/events", http.NoBody)
	if err != nil {
		return
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	request.Header.Set("Accept", "text/event-stream")
	answer, err := client.Do(request)
	if err != nil {
		return
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return
	}
	opened.Add(1)
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data:") && strings.Contains(lines.Text(), `"new-to-all"`) {
			reported.Add(1)
			return
		}
	}
}
