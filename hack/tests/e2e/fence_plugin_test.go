package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// TestNoRunWithoutTheNetworkPlugin stops the network plugin. What it enforced no longer holds,
// so the canary's forbidden port can be reached, and an attempt that waits for its fence must
// not start until the plugin is back. The test is not parallel, since it takes the fence from
// all others.
func TestNoRunWithoutTheNetworkPlugin(t *testing.T) {
	tn := newIntruder(t, "plugin-stopped", waitForFence)
	startPlugin := stopPlugin(t)
	tn.start(tn.makeJob("patient", "inspect").Retries(8, time.Second))
	job := tn.waitJob("patient", "an attempt has ended", func(job *v1alpha1.WorkspaceJob) bool {
		return len(job.Status.Attempts) > 0 && job.Status.Attempts[0].FinishedAt != nil
	})
	wantUnfenced(t, &job.Status.Attempts[0])
	startPlugin()
	job = tn.waitFinal("patient", v1alpha1.StateSucceeded)
	for _, attempt := range job.Status.Attempts[:len(job.Status.Attempts)-1] {
		wantUnfenced(t, &attempt)
	}
}

// wantUnfenced fails the test unless the attempt was not started, because its pod could reach
// what its policies forbid.
func wantUnfenced(t *testing.T, attempt *v1alpha1.Attempt) {
	t.Helper()
	if attempt.Outcome != v1alpha1.OutcomeNotStarted || !strings.HasPrefix(attempt.Error, "FenceMissing: after 30s: the pod can connect") ||
		attempt.StartedAt != nil || attempt.FinishedAt.Sub(attempt.CreatedAt.Time) < 30*time.Second {
		t.Errorf("got %+v", attempt)
	}
}

var pluginStatus = regexp.MustCompile(`(?m)^kube-router +runs, process (\d+)$`)

// stopPlugin kills the network plugin, and lets traffic pass that its rules would drop. The
// returned function, and the end of the test, start it again.
func stopPlugin(t *testing.T) (start func()) {
	t.Helper()
	status, err := shared.command(t.Context(), shared.tool, "status", "--name", clusterName)
	if err != nil {
		t.Fatal(err)
	}
	found := pluginStatus.FindStringSubmatch(status)
	if found == nil {
		t.Fatalf("the network plugin does not run:\n%s", status)
	}
	process, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(process, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	pass := func(verb string) {
		t.Helper()
		output, err := exec.Command("nsenter", "--net="+netns, "iptables", "-w", verb, "FORWARD", "-j", "ACCEPT").CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, output)
		}
	}
	start = sync.OnceFunc(func() {
		pass("-D")
		if _, err := shared.command(context.WithoutCancel(t.Context()), shared.tool, "up", "--name", clusterName); err != nil {
			t.Errorf("start the network plugin: %v", err)
		}
	})
	t.Cleanup(start)
	pass("-I")
	return start
}

// TestScheduledRunsWaitForTheirFence checks runs whose Jobs Kubernetes creates, from the
// template of a CronJob: one that is fenced, and one whose workspace allows what a fence
// would forbid.
func TestScheduledRunsWaitForTheirFence(t *testing.T) {
	t.Parallel()
	port, accepted := listenOnHost(t)
	targets := map[string]target{"forbidden": {Address: fmt.Sprintf("%s:%d", shared.host, port)}}
	fenced, unfenced := newIntruder(t, "scheduled-fenced", waitForFence), newIntruder(t, "scheduled-unfenced", waitForFence)
	unfenced.allowEverything()
	for _, tn := range []*tenant{fenced, unfenced} {
		template := tn.makeJob("short", "reach").Retries(0, time.Second).ArgsOf(map[string]any{"targets": targets}).Template()
		schedule := objects.MakeWorkspaceRecurringJob("short").In(tn.namespace).Schedule("* * * * *", "").Template(template).Obj()
		if err := shared.client.Create(t.Context(), schedule); err != nil {
			t.Fatal(err)
		}
	}
	wantUnfenced(t, &unfenced.firstRun("short", v1alpha1.StateFailed).Status.Attempts[0])
	fenced.firstRun("short", v1alpha1.StateSucceeded)
	if reached := accepted.Load(); reached > 0 {
		t.Errorf("%d runs reached what their workspace forbids", reached)
	}
}

// firstRun waits until a run of a schedule is in a final state.
func (tn *tenant) firstRun(schedule string, want v1alpha1.JobState) *v1alpha1.WorkspaceJob {
	tn.t.Helper()
	var run string
	testenv.Eventually(tn.t, "a run of "+schedule, func(context.Context) error {
		last := tn.recurring(schedule).Status.LastRun
		if last == nil {
			return fmt.Errorf("none is due yet")
		}
		run = last.Name
		return nil
	})
	return tn.waitFinal(run, want)
}
