package cached

import (
	"encoding/json"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

func argsOf(text string) *apiextensionsv1.JSON { return &apiextensionsv1.JSON{Raw: []byte(text)} }

// TestArgs checks that small arguments are cached as they are, and that large ones are known
// by what they say, however they are written.
func TestArgs(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxArgs)
	sizeAndHash := `{"bytes":99999,"sha256":"` + strings.Repeat("0", 64) + `"}`
	for name, c := range map[string]struct {
		args, same string
		whole      bool
	}{
		"small":           {`{"a":1}`, `{"a":1}`, true},
		"large":           {`{"a":"` + long + `","b":1}`, `{"b":1, "a":"` + long + `"}`, false},
		"large, escaped":  {`{"a":"<` + long + `"}`, `{"a":"\u003c` + long + `"}`, false},
		"on the boundary": {`{"a":"` + strings.Repeat("<", maxArgs/8) + `"}`, `{"a":"` + strings.Repeat(`\u003c`, maxArgs/8) + `"}`, true},
		"a digest's keys": {`{"bytes":9,"sha256":"x"}`, `{"bytes":9,"sha256":"x"}`, true},
		"like a digest":   {sizeAndHash, sizeAndHash, true},
	} {
		short, again := Args(argsOf(c.args)), Args(argsOf(c.same))
		if Whole(short) != c.whole {
			t.Errorf("%s: whole %v, want %v", name, Whole(short), c.whole)
		}
		if c.whole && Size(short) != len(c.args) {
			t.Errorf("%s: %d bytes, want %d", name, Size(short), len(c.args))
		}
		if !v1alpha1.SameJSON(short, again) {
			t.Errorf("%s: %s and %s", name, short.Raw, again.Raw)
		}
		if twice := Args(short); string(twice.Raw) != string(short.Raw) || Size(twice) != Size(argsOf(c.args)) && name == "large" {
			t.Errorf("%s: trimmed twice it is %s, of %d bytes", name, twice.Raw, Size(twice))
		}
	}
	if Args(nil) != nil || !Whole(nil) || Size(nil) != 0 {
		t.Error("missing arguments do not stay missing")
	}
}

// TestOtherArgsHaveAnotherDigest checks that the digest leaves out no part of the arguments.
func TestOtherArgsHaveAnotherDigest(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxArgs)
	if v1alpha1.SameJSON(Args(argsOf(`{"a":"`+long+`","b":1}`)), Args(argsOf(`{"a":"`+long+`","b":2}`))) {
		t.Error("different arguments have the same digest")
	}
}

// TestNothingLargeIsCached fills every text that somebody else chooses with the longest one that
// the API server accepts.
func TestNothingLargeIsCached(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 16<<10)
	meta := metav1.ObjectMeta{
		Name: "n", Namespace: "ns", UID: "u", Annotations: map[string]string{"example.com/a": large}, Labels: map[string]string{"example.com/l": "x"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl", FieldsV1: metav1.NewFieldsV1(large)}},
		Finalizers:    []string{"orphan"},
	}
	template := v1alpha1.JobTemplate{Handler: "h", Args: argsOf(`{"a":"` + large + `"}`)}
	text, err := json.Marshal(template)
	if err != nil {
		t.Fatal(err)
	}
	tick := meta.DeepCopy()
	tick.Annotations[v1alpha1.AnnotationTemplate] = string(text)
	pod := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Env: []corev1.EnvVar{{Value: large}}}}}}
	message := strings.Repeat("m", 1024)
	finished := v1alpha1.WorkspaceJobStatus{
		State: v1alpha1.StateFailed, Message: message, Result: argsOf(`"` + message + `"`), Template: &template,
		Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: "R", Message: large}, {Type: v1alpha1.ConditionStalled, Message: large}},
		Attempts:   []v1alpha1.Attempt{{Number: 1, Job: "n-1", JobUID: "u", Error: message}},
	}
	for name, c := range map[string]struct {
		object client.Object
		most   int
	}{
		"a job":          {&v1alpha1.WorkspaceJob{ObjectMeta: *meta.DeepCopy(), Spec: v1alpha1.WorkspaceJobSpec{JobTemplate: template}}, 600},
		"a finished job": {&v1alpha1.WorkspaceJob{ObjectMeta: *meta.DeepCopy(), Spec: v1alpha1.WorkspaceJobSpec{JobTemplate: template}, Status: finished}, 800},
		"a schedule":     {&v1alpha1.WorkspaceRecurringJob{ObjectMeta: *meta.DeepCopy(), Spec: v1alpha1.WorkspaceRecurringJobSpec{Template: template}}, 600},
		"a tick":         {&batchv1.Job{ObjectMeta: *tick, Spec: batchv1.JobSpec{Template: pod}}, 800},
		"a CronJob":      {&batchv1.CronJob{ObjectMeta: *meta.DeepCopy(), Spec: batchv1.CronJobSpec{JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: pod}}}}, 600},
		"a pod":          {&corev1.Pod{ObjectMeta: *meta.DeepCopy(), Spec: pod.Spec}, 400},
	} {
		Trim(c.object)
		left, err := json.Marshal(c.object)
		if err != nil {
			t.Fatal(err)
		}
		if len(left) > c.most {
			t.Errorf("%s: %d bytes are cached: %.300s", name, len(left), left)
		}
	}
}
