package attacks

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// hostileTexts returns texts that try to end a label, a log line, a metric, a statement or
// a template.
func hostileTexts() map[string]string {
	return map[string]string{
		"quotes":     `"},"level":"ERROR","msg":"forged`,
		"newline":    "a\nlevel=ERROR msg=forged\n{\"msg\":\"forged\"}",
		"label":      `x"} 1` + "\n" + `workspace_jobs_queue_limit{queue="workspace_globex"} 0 #`,
		"expansion":  `$(DATABASE_URL) $$(DATABASE_URL) ${DATABASE_URL} {{ .Env }} %s %n %!d`,
		"statement":  `'; DROP SCHEMA hangfire CASCADE; --`,
		"path":       "../../../../etc/passwd",
		"control":    "\x1b[2J\x07\x7f\u0085\u2028",
		"direction":  "\u202egpj.exe\u2066",
		"wide":       strings.Repeat("𝕏", 253),
		"combining":  "e" + strings.Repeat("\u0301", 250),
		"name":       "workspace_globex",
		"whitespace": "   \t ",
	}
}

// TestHostileTextStaysText checks that text from a tenant's job reaches its pod unchanged,
// and is only text in labels, log lines and metrics.
func TestHostileTextStaysText(t *testing.T) {
	t.Parallel()
	tn := newTenant(t, "hostile-text")
	for name, text := range hostileTexts() {
		args, err := json.Marshal(map[string]string{"text": text, text: "as a key"})
		if err != nil {
			t.Fatal(err)
		}
		job := tn.job(name)
		job.Spec.Args, job.Spec.ConcurrencyKey = &apiextensionsv1.JSON{Raw: args}, text
		job.Annotations = map[string]string{"note": text, v1alpha1.AnnotationConcurrencyKey: "another's"}
		if err := tn.editor.Create(t.Context(), job); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		done := tn.waitState(name, v1alpha1.StateSucceeded)
		if len(done.Status.Message) > 2048 {
			t.Errorf("%s: the message has %d bytes", name, len(done.Status.Message))
		}
		child := tn.attempt(name)
		if got := child.Annotations[v1alpha1.AnnotationConcurrencyKey]; got != text {
			t.Errorf("%s: the concurrency key is %q", name, got)
		}
		if got := argsOf(child.Spec.Template.Spec); !sameJSON(t, got, args) {
			t.Errorf("%s: the arguments are %s", name, got)
		}
		tn.wantRunner(child.Spec.Template.Spec)
	}
	tn.checkOperator()
}

// argsOf returns the arguments as the runner reads them: the kubelet replaces $$ by $.
// https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
func argsOf(pod corev1.PodSpec) string {
	for _, variable := range pod.Containers[0].Env {
		if variable.Name == "JOB_ARGS" {
			return strings.ReplaceAll(variable.Value, "$$", "$")
		}
	}
	return ""
}

func sameJSON(t *testing.T, got string, want []byte) bool {
	t.Helper()
	var left, right map[string]string
	if json.Unmarshal([]byte(got), &left) != nil || json.Unmarshal(want, &right) != nil {
		return false
	}
	return fmt.Sprint(left) == fmt.Sprint(right)
}

// checkOperator checks that the operator is alive, that its log is JSON without a forged
// line, and that its metrics parse and have no text of a tenant as a label.
func (tn *tenant) checkOperator() {
	tn.Helper()
	operator := shared.Operator(tn)
	if err := operator.Alive(); err != nil {
		tn.Fatal(err)
	}
	lines, err := operator.Log()
	if err != nil {
		tn.Fatal(err)
	}
	// The last line may be half written.
	for _, line := range lines[:len(lines)-1] {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry["msg"] == "forged" {
			tn.Errorf("the operator's log has the line %q", line)
		}
	}
	text, err := operator.Metrics(tn.Context())
	if err != nil {
		tn.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		tn.Fatal(err)
	}
	for name, family := range families {
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if strings.Contains(label.GetValue(), "forged") || strings.Contains(label.GetValue(), "globex") {
					tn.Errorf("%s has the label %s=%q", name, label.GetName(), label.GetValue())
				}
			}
		}
	}
}

// TestPoisonedMetadataIsNotBelieved forges the annotations and labels of a tenant's own
// jobs: each should still run once, as itself, and keep nobody waiting.
func TestPoisonedMetadataIsNotBelieved(t *testing.T) {
	t.Parallel()
	tn := newTenant(t, "poisoned")
	long := strings.Repeat("x", 15_000) // more is refused
	for name, annotations := range map[string]map[string]string{
		"uid":          {v1alpha1.AnnotationJobUID: "another's"},
		"run":          {v1alpha1.AnnotationRun: "99999999999999999999"},
		"negative-run": {v1alpha1.AnnotationRun: "-1"},
		"never":        {v1alpha1.AnnotationScheduledAt: "never"},
		"long-ago":     {v1alpha1.AnnotationScheduledAt: "-9999-01-01T00:00:00Z"},
		"far-off":      {v1alpha1.AnnotationScheduledAt: "9999-12-31T23:59:59Z"},
		"template":     {v1alpha1.AnnotationTemplate: `{"handler":"data-cleanup","args":{`},
		"since":        {v1alpha1.AnnotationScheduleSince: "x", v1alpha1.AnnotationRunningSince: "y"},
		"image":        {v1alpha1.AnnotationRunnerImage: "registry.example.net/miner:1"},
		"long":         {v1alpha1.AnnotationTemplate: long},
	} {
		job := tn.job(name)
		job.Annotations = annotations
		job.Labels = map[string]string{
			v1alpha1.LabelManagedBy: v1alpha1.ManagedBy, v1alpha1.LabelWorkspace: "globex", v1alpha1.LabelJob: "another",
			v1alpha1.LabelAttempt: "7", v1alpha1.LabelRecurringJob: "nightly", "batch.kubernetes.io/job-name": "another",
		}
		if err := tn.editor.Create(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		tn.waitState(name, v1alpha1.StateSucceeded)
		child := tn.attempt(name)
		if child.Labels[v1alpha1.LabelJob] != name || child.Labels[v1alpha1.LabelWorkspace] != tn.name || child.Labels[v1alpha1.LabelAttempt] != "1" ||
			child.Annotations[v1alpha1.AnnotationJobUID] != string(job.UID) || child.Annotations[v1alpha1.AnnotationRun] != "1" {
			t.Errorf("%s: the forged metadata is in its Job: %+v", name, child.ObjectMeta)
		}
		tn.wantRunner(child.Spec.Template.Spec)
	}
	tn.checkOperator()
}

// TestHostileSchedules checks that hostile schedules are refused with a reason, and that
// one that is never due, or always, does not keep others from working.
func TestHostileSchedules(t *testing.T) {
	t.Parallel()
	tn := newTenant(t, "schedules")
	for name, text := range map[string]string{
		"interval": "@every 1s", "zone": "TZ=UTC * * * * *", "cron-zone": "CRON_TZ=UTC * * * * *", "reboot": "@reboot", "seconds": "* * * * * *",
		"huge": "0-99999999999999999999 * * * *", "steps": "*/0 * * * *", "hash": "H(0-99) * * * *", "nested": "H(H(0-1)) * * * *",
		"newline": "0 0 1 1\n*", "empty-list": ",,,, * * * *", "words": "SELECT pg_sleep(9) * *", "null": "0 0 1 1 \x00",
		"never": "0 0 30 2 *", "many": strings.TrimSuffix(strings.Repeat("0,", 95), ",") + " * * * *",
	} {
		recurring := objects.MakeWorkspaceRecurringJob(name).In(tn.namespace).Schedule(text, "").Obj()
		if err := tn.editor.Create(t.Context(), recurring); err != nil {
			if !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) {
				t.Errorf("schedule %q: %v", text, err)
			}
			continue
		}
		testenv.Eventually(t, fmt.Sprintf("the operator reports the schedule %q", text), func(ctx context.Context) error {
			if err := tn.admin.Get(ctx, client.ObjectKeyFromObject(recurring), recurring); err != nil {
				return err
			}
			if recurring.Status.ObservedGeneration != recurring.Generation || meta.FindStatusCondition(recurring.Status.Conditions, v1alpha1.ConditionReady) == nil {
				return fmt.Errorf("its status is %+v", recurring.Status)
			}
			return nil
		})
	}
	tn.run("afterwards")
	tn.checkOperator()
}

// TestHostileSizes creates jobs with the largest values that the API server accepts.
func TestHostileSizes(t *testing.T) {
	t.Parallel()
	tn := newTenant(t, "sizes")
	largest := tn.job(strings.Repeat("n", 58))
	largest.Spec.Handler = strings.Repeat("h", 100)
	largest.Spec.Args = &apiextensionsv1.JSON{Raw: []byte(`{"a":"` + strings.Repeat("x", 65520) + `"}`)}
	largest.Spec.ConcurrencyKey = strings.Repeat("é", 253)
	largest.Spec.Timeout = &v1alpha1.Duration{Duration: 8760 * time.Hour}
	largest.Spec.Retry = &v1alpha1.RetryPolicy{Limit: new(int32(100)), Factor: new(int32(10)), MinDelay: &v1alpha1.Duration{Duration: time.Hour}, MaxDelay: &v1alpha1.Duration{Duration: 8760 * time.Hour}}
	if err := tn.editor.Create(t.Context(), largest); err != nil {
		t.Fatal(err)
	}
	tn.waitState(largest.Name, v1alpha1.StateSucceeded)
	deep := tn.job("deep")
	deep.Spec.Args = &apiextensionsv1.JSON{Raw: []byte(`{"a":` + strings.Repeat(`[`, 5000) + strings.Repeat(`]`, 5000) + `}`)}
	if err := tn.editor.Create(t.Context(), deep); err == nil {
		tn.waitState("deep", v1alpha1.StateSucceeded)
	}
	over := tn.job("over")
	over.Spec.Args = &apiextensionsv1.JSON{Raw: []byte(`{"a":"` + strings.Repeat("x", 70_000) + `"}`)}
	if err := tn.editor.Create(t.Context(), over); err == nil {
		tn.waitJob("over", "is refused", func(job *v1alpha1.WorkspaceJob) bool { return job.Status.State == v1alpha1.StateFailed })
	}
	parents := tn.job("parents")
	for i := range 32 {
		parents.Spec.After = append(parents.Spec.After, v1alpha1.Parent{Name: fmt.Sprintf("%s-%d", strings.Repeat("p", 55), i)})
	}
	if err := tn.editor.Create(t.Context(), parents); err != nil {
		t.Fatal(err)
	}
	if got := tn.waitState("parents", v1alpha1.StateAwaiting).Status.Message; len(got) > 2048 {
		t.Errorf("the message has %d bytes", len(got))
	}
	tn.run("afterwards")
	tn.checkOperator()
}

// run runs an ordinary job, to check that nothing before it has stalled the operator.
func (tn *tenant) run(name string) {
	tn.Helper()
	if err := tn.editor.Create(tn.Context(), tn.job(name)); err != nil {
		tn.Fatal(err)
	}
	tn.waitState(name, v1alpha1.StateSucceeded)
}
