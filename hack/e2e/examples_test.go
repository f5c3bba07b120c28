package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/debian"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// runnerExample is a folder of docs/examples: a runner image as a reader of the
// documentation makes one. Each has a handler close-sessions.
type runnerExample struct {
	name string
	// load makes the image and loads it into the cluster.
	load func() error
	// badArgs is what it says of arguments that don't fit, noTable of a table that is gone.
	badArgs, noTable string
}

// inFolder gives what builds images a folder that is gone afterwards.
func inFolder(do func(ctx context.Context, folder string) error) error {
	folder, err := os.MkdirTemp("", "workspace-jobs-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	return do(context.Background(), folder)
}

func runnerExamples() []runnerExample {
	return []runnerExample{
		{
			name: "runner-python", load: loadPython,
			badArgs: "'2 hours' is no duration such as 1h30m",
			noTable: `UndefinedTable: relation "radacct" does not exist`,
		},
		{
			name: "runner-go", load: loadGo,
			badArgs: `idle takes a duration such as 2h, not "2 hours"`,
			noTable: `relation "radacct" does not exist`,
		},
	}
}

func exampleImage(name string) string { return registry + "/" + name + ":" + tag }

// loadPython makes the image of docs/examples/runner-python, by its Dockerfile.
var loadPython = sync.OnceValue(func() error {
	return inFolder(func(ctx context.Context, folder string) error {
		archive := filepath.Join(folder, "image.tar")
		if err := debian.WriteImage(ctx, exampleFolder("runner-python"), exampleImage("runner-python"), archive); err != nil {
			return err
		}
		return shared.load(ctx, archive)
	})
})

func exampleFolder(name string) string { return filepath.Join(shared.root, "docs", "examples", name) }

// loadGo makes the image of docs/examples/runner-go by the commands of
// docs/writing-handlers.md, which push it where this loads it.
var loadGo = sync.OnceValue(func() error {
	return inFolder(func(ctx context.Context, folder string) error {
		page, err := os.ReadFile(filepath.Join(shared.root, "docs", "writing-handlers.md"))
		if err != nil {
			return err
		}
		commands := buildCommands.FindSubmatch(page)
		if commands == nil {
			return fmt.Errorf("docs/writing-handlers.md has no commands that match %s", buildCommands)
		}
		archive := filepath.Join(folder, "image.tar")
		script := strings.NewReplacer(
			"/tmp/runner", filepath.Join(folder, "runner"),
			"registry.example.net/acme/runner:v1 --push", exampleImage("runner-go")+" --output "+archive,
		).Replace(string(commands[1]))
		if !strings.Contains(script, archive) {
			return fmt.Errorf("docs/writing-handlers.md pushes no image:\n%s", commands[1])
		}
		script = fmt.Sprintf("set -eu; WORKSPACE_JOBS='%s'; cd '%s'\n%s", shared.root, exampleFolder("runner-go"), script)
		if _, err := shared.command(ctx, "bash", "-c", script); err != nil {
			return err
		}
		return shared.load(ctx, archive)
	})
})

var buildCommands = regexp.MustCompile("(?s)\n```sh\n(CGO_ENABLED=0 go build .*?)```")

// What the handler close-sessions works on: two sessions that nobody has heard of for
// three hours, and one of now. Each statement that closes sessions is an effect, and waits
// at the barrier.
const createRadacct = `
	CREATE TABLE radacct (acctupdatetime timestamptz NOT NULL, acctstoptime timestamptz);
	INSERT INTO radacct VALUES (now(), NULL), (now() - interval '3 hours', NULL), (now() - interval '3 hours', NULL);
	CREATE FUNCTION count_effect() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		` + insertEffect + `;
		PERFORM pg_advisory_xact_lock_shared(1);
		RETURN NULL;
	END $$;
	CREATE TRIGGER count_effect AFTER UPDATE ON radacct FOR EACH STATEMENT EXECUTE FUNCTION count_effect()`

const countClosed = `SELECT count(*) FROM radacct WHERE acctstoptime IS NOT NULL`

// closeSessions is a job of the examples' handler.
func (tn *tenant) closeSessions(name, idle string) *jobWrapper {
	return tn.makeJob(name, "close-sessions").args(map[string]any{"idle": idle})
}

// wantClosed: the job closed the two sessions, in one statement.
func (tn *tenant) wantClosed(name string) {
	tn.t.Helper()
	tn.wantEffects(1)
	if got := tn.count(countClosed); got != 2 {
		tn.t.Errorf("%d sessions are closed, not 2", got)
	}
	var result struct{ Closed int }
	if tn.result(name, &result); result.Closed != 2 {
		tn.t.Errorf("the result tells of %d closed sessions", result.Closed)
	}
}

// newExample makes a tenant whose runner image is the example's.
func newExample(t *testing.T, example runnerExample, name string) *tenant {
	t.Helper()
	if err := example.load(); err != nil {
		t.Fatal(err)
	}
	tn := newTenantWithEffects(t, example.name+name, withImage(example))
	tn.exec(createRadacct)
	return tn
}

func withImage(example runnerExample) func(*v1alpha1.Workspace) {
	return func(ws *v1alpha1.Workspace) { ws.Spec.Runner.Image = exampleImage(example.name) }
}

// Ready, so its migrate has run; and the endings of a job that people will see first.
func TestExampleRunsJobs(t *testing.T) {
	t.Parallel()
	for _, example := range runnerExamples() {
		t.Run(example.name, func(t *testing.T) {
			t.Parallel()
			tn := newExample(t, example, "")
			tn.start(tn.closeSessions("close", "2h"))
			job := tn.waitFinal("close", v1alpha1.StateSucceeded)
			wantAttempts(t, job, v1alpha1.OutcomeSucceeded)
			tn.wantClosed("close")

			tn.start(tn.closeSessions("bad-args", "2 hours"))
			job = tn.waitFinal("bad-args", v1alpha1.StateFailed)
			wantAttempts(t, job, v1alpha1.OutcomePermanentFailure)
			wantFailure(t, job, contract.ExitUsage, example.badArgs)

			tn.exec(`ALTER TABLE radacct RENAME TO moved`)
			tn.start(tn.closeSessions("no-table", "2h"))
			job = tn.waitFinal("no-table", v1alpha1.StateFailed)
			wantAttempts(t, job, v1alpha1.OutcomeFailed, v1alpha1.OutcomeFailed)
			wantFailure(t, job, contract.ExitFailed, example.noTable)
			tn.wantEffects(1)
		})
	}
}

// wantFailure: the last attempt's exit code, and its error, also where people look first.
func wantFailure(t *testing.T, job *v1alpha1.WorkspaceJob, code int32, words string) {
	t.Helper()
	last := job.Status.Attempts[len(job.Status.Attempts)-1]
	if last.ExitCode == nil || *last.ExitCode != code {
		t.Errorf("WorkspaceJob %q: exit code %v, not %d", job.Name, last.ExitCode, code)
	}
	wantWords(t, "the attempt's error", last.Error, words)
	wantWords(t, "the job's message", job.Status.Message, words)
}

func TestExampleTakesEffectOnceWhenKilledAtWork(t *testing.T) {
	t.Parallel()
	for _, example := range runnerExamples() {
		t.Run(example.name, func(t *testing.T) {
			t.Parallel()
			tn := newExample(t, example, "-killed")
			barrier := tn.closeBarrier()
			tn.start(tn.closeSessions("close", "2h"))
			barrier.waitFor(1)
			signalPod(t, tn.runningPod("close", 1), syscall.SIGKILL)
			barrier.lift()

			job := tn.waitFinal("close", v1alpha1.StateSucceeded)
			wantAttempts(t, job, v1alpha1.OutcomeFailed, v1alpha1.OutcomeSucceeded)
			wantKilled(t, job)
			tn.wantClosed("close")
		})
	}
}

// The run has taken effect, and nobody has heard of it: the next attempt only tells.
func TestExampleTakesEffectOnceWhenKilledAfterItsCommit(t *testing.T) {
	t.Parallel()
	for _, example := range runnerExamples() {
		t.Run(example.name, func(t *testing.T) {
			t.Parallel()
			if err := example.load(); err != nil {
				t.Fatal(err)
			}
			tn, held := newTenantBehind(t, example.name+"-late", func(tn *tenant) *proxy { return tn.holdAnswer("UPDATE radacct SET") }, withImage(example))
			tn.exec(createRadacct)
			tn.start(tn.closeSessions("close", "2h"))
			held.waitHeld(tn)
			tn.wantEffects(1)
			signalPod(t, tn.runningPod("close", 1), syscall.SIGKILL)

			job := tn.waitFinal("close", v1alpha1.StateSucceeded)
			wantAttempts(t, job, v1alpha1.OutcomeFailed, v1alpha1.OutcomeSucceeded)
			wantKilled(t, job)
			tn.wantClosed("close")
		})
	}
}

func TestExampleIsCancelled(t *testing.T) {
	t.Parallel()
	for _, example := range runnerExamples() {
		t.Run(example.name, func(t *testing.T) {
			t.Parallel()
			tn := newExample(t, example, "-cancelled")
			barrier := tn.closeBarrier()
			tn.start(tn.closeSessions("close", "2h"))
			barrier.waitFor(1)
			tn.waitState("close", v1alpha1.StateProcessing)
			log := tn.follow(tn.runningPod("close", 1))
			tn.change("close", func(spec *v1alpha1.WorkspaceJobSpec) { spec.Cancelled = true })

			job := tn.waitFinal("close", v1alpha1.StateDeleted)
			wantAttempts(t, job, v1alpha1.OutcomeCancelled)
			wantLines(t, log(), fmt.Sprintf(`"exitCode": ?%d\b`, contract.ExitInterrupted))
			barrier.waitFor(0)
			barrier.lift()
			tn.wantEffects(0)
		})
	}
}

// follow reads a pod's log from now on; what it returns waits for the log's end.
func (tn *tenant) follow(pod *corev1.Pod) func() string {
	tn.t.Helper()
	stream, err := shared.clientset.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Follow: true}).Stream(tn.t.Context())
	if err != nil {
		tn.t.Fatal(err)
	}
	return func() string {
		defer stream.Close()
		text, err := io.ReadAll(stream)
		if err != nil {
			tn.t.Errorf("the log of pod %q: %v", pod.Name, err)
		}
		return string(text)
	}
}

// The example's other handler: a receiver that is busy is asked again when it says, with
// the same key; one that refuses is not.
func TestPythonExampleNotifiesAReceiver(t *testing.T) {
	t.Parallel()
	tn := newExample(t, runnerExamples()[0], "-notify")
	answers := []int{http.StatusServiceUnavailable, http.StatusOK, http.StatusNotFound}
	keys := make(chan string, len(answers))
	url := startReceiver(t, func(w http.ResponseWriter, r *http.Request) {
		keys <- r.Header.Get("Idempotency-Key")
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(answers[len(keys)-1])
	})
	tn.start(tn.makeJob("notify", "notify").args(map[string]any{"url": url}))
	job := tn.waitFinal("notify", v1alpha1.StateSucceeded)
	wantAttempts(t, job, v1alpha1.OutcomeFailed, v1alpha1.OutcomeSucceeded)
	wantWords(t, "the attempt's error", job.Status.Attempts[0].Error, "the receiver answers 503")
	tn.start(tn.makeJob("refused", "notify").args(map[string]any{"url": url}))
	job = tn.waitFinal("refused", v1alpha1.StateFailed)
	wantAttempts(t, job, v1alpha1.OutcomePermanentFailure)
	wantFailure(t, job, contract.ExitPermanent, "the receiver answers 404")
	if len(keys) != len(answers) {
		t.Fatalf("%d requests were made, not %d", len(keys), len(answers))
	}
	if first, again, other := <-keys, <-keys, <-keys; first != again || again == other {
		t.Errorf("the requests had the keys %q, %q and %q", first, again, other)
	}
}

// startReceiver serves on the host's address, which pods can reach, and returns its URL.
func startReceiver(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(shared.host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{ReadHeaderTimeout: time.Minute, Handler: handler}}
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}
