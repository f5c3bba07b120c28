package runnerjob

import (
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	unversioned "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// expand expands a variable's value as the kubelet does: $$ is a dollar sign, $(NAME) is that
// variable's value, and everything else stays.
// https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#environment-variables
func expand(value, variable string) string {
	return expanded.ReplaceAllStringFunc(value, func(found string) string {
		if found == "$$" {
			return "$"
		}
		return variable
	})
}

var expanded = regexp.MustCompile(`\$\$|\$\([^)]*\)`)

// FuzzRun checks that what a tenant writes reaches the runner unchanged, whatever it looks
// like to the kubelet, and makes a Job that the API server accepts.
func FuzzRun(f *testing.F) {
	const url = "postgres://role:password@host/db"
	f.Add([]byte(`{"a":"$(DATABASE_URL)"}`), "key", int64(time.Hour))
	f.Add([]byte(`$$(DATABASE_URL) $$$(DATABASE_URL) $$$$( $(`), "$(DATABASE_URL)", int64(1))
	f.Add([]byte(strings.Repeat("$", 99)), strings.Repeat("\xff\n", 126), int64(-1))
	f.Add([]byte(nil), "", int64(0))
	f.Fuzz(func(t *testing.T, args []byte, key string, timeout int64) {
		template := &v1alpha1.JobTemplate{
			Handler: "sql", ConcurrencyKey: key, Args: &apiextensionsv1.JSON{Raw: args}, Timeout: &v1alpha1.Duration{Duration: time.Duration(timeout)},
		}
		ws := makeWorkspace()
		job := Build(ws, Run(ws, template))
		pod := job.Spec.Template
		want := map[string]string{contract.EnvArgs: string(args), contract.EnvHandler: "sql", contract.EnvTimeout: template.Timeout.Duration.String()}
		if len(args) == 0 {
			want[contract.EnvArgs] = "{}"
		}
		for _, env := range pod.Spec.Containers[0].Env {
			if text, ok := want[env.Name]; ok && expand(env.Value, url) != text {
				t.Errorf("%s is %q, want %q", env.Name, expand(env.Value, url), text)
			}
			if strings.Contains(expand(env.Value, url), url) && !strings.Contains(string(args), url) {
				t.Errorf("%s holds the URL", env.Name)
			}
		}
		for _, labelled := range []metav1.ObjectMeta{job.ObjectMeta, pod.ObjectMeta} {
			errs := unversioned.ValidateLabels(labelled.Labels, field.NewPath("labels"))
			if utf8.RuneCountInString(key) <= 253 { // as the CRD has it
				errs = append(errs, validation.ValidateAnnotations(labelled.Annotations, field.NewPath("annotations"))...)
			}
			if len(errs) > 0 {
				t.Error(errs.ToAggregate())
			}
		}
	})
}

// FuzzObserve checks that, whatever a tenant's process leaves, a failed Job has a text that
// says why, and a successful one has none, and that each has ended at some time.
func FuzzObserve(f *testing.F) {
	f.Add(`{"error":"no such table","retryAfter":"1m"}`, int32(75), "Error", "", true, born.Unix())
	f.Add(`{"result":{"rows":1},"error":"x"}`, int32(0), "Completed", "", false, born.Unix())
	f.Add("\xff", int32(137), "OOMKilled", "Evicted", true, int64(0))
	f.Add("", int32(-1), "", "DeadlineExceeded", true, (time.Time{}).Unix())
	f.Fuzz(func(t *testing.T, message string, code int32, reason, podReason string, failed bool, finished int64) {
		kind := map[bool]batchv1.JobConditionType{true: batchv1.JobFailed, false: batchv1.JobComplete}[failed]
		pod := makePod(1).state(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: code, Reason: reason, Message: message, StartedAt: when(2), FinishedAt: metav1.Unix(finished, 0),
		}})
		pod.Status.Reason = podReason
		end := Observe(makeJob(kind), []corev1.Pod{pod.Pod}).End
		if end == nil || end.Succeeded == failed || (end.Error != "") != failed {
			t.Fatalf("%+v", end)
		}
		if at := end.At.Unix(); *end.ExitCode != code || at <= 0 || finished > 0 && at != finished {
			t.Errorf("%+v", end)
		}
		if len(end.Message.Result) > contract.MaxResult {
			t.Errorf("a result of %d bytes", len(end.Message.Result))
		}
	})
}
