package recurring

import (
	"encoding/json"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// FuzzTemplate checks that a run gets the template that the schedule had, through an
// annotation that the API server accepts.
func FuzzTemplate(f *testing.F) {
	f.Add("key", []byte(`{"a":"<&>\u2028"}`), int64(time.Hour), int32(-1000))
	f.Add("\"\\\u2028<", []byte(`{ "a" : 1.0e5 }`), int64(1), int32(0))
	f.Add("", []byte(`{"a":"`+string(make([]byte, 100))+`"}`), int64(-1), int32(1))
	f.Fuzz(func(t *testing.T, key string, args []byte, timeout int64, priority int32) {
		s := hourly()
		s.recurring.Spec.Template = v1alpha1.JobTemplate{
			Handler: "sql", ConcurrencyKey: string([]rune(key)), Priority: &priority,
			Timeout: &v1alpha1.Duration{Duration: time.Duration(timeout)},
		}
		var object map[string]any
		if json.Unmarshal(args, &object) == nil && object != nil {
			// As the API server writes it.
			raw, err := json.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			s.recurring.Spec.Template.Args = &apiextensionsv1.JSON{Raw: raw}
		}
		if tooLarge(s.observed) {
			return
		}
		tick := jobTemplate(s.observed, &s.recurring.Spec.Template)
		if len(key) <= 4*253 {
			if errs := validation.ValidateAnnotations(tick.Annotations, field.NewPath("annotations")); len(errs) > 0 {
				t.Error(errs.ToAggregate())
			}
		}
		s.tick(0)
		s.ticks[0].Annotations = tick.Annotations
		got, readable := templateOf(&s.ticks[0])
		if wanted := templateText(&s.recurring.Spec.Template); !readable || templateText(&got) != wanted {
			t.Errorf("%s becomes %s", wanted, templateText(&got))
		}
	})
}

// FuzzScheduledAt checks that whatever a tenant writes into its run's annotation, a time in
// the future or of another run makes no occurrence.
func FuzzScheduledAt(f *testing.F) {
	f.Add(noon.Format(time.RFC3339), runName(0))
	f.Add("9999-12-31T23:59:59.999999999+23:59", "daily-4223371679")
	f.Add("0000-01-01T00:00:00-23:59", "daily--1")
	f.Add("2026-03-01T13:00:00,5Z", runName(60))
	f.Fuzz(func(t *testing.T, at, name string) {
		s := hourly().run(0, v1alpha1.StateEnqueued, "")
		run := &s.runs[0]
		run.Name, run.Annotations = name, map[string]string{v1alpha1.AnnotationScheduledAt: at}
		for _, c := range occurrencesOf(s.observed) {
			if c.at.After(s.now.Add(skew)) || c.name != name || tickName(s.recurring, c.at) != name {
				t.Errorf("annotated %q, %q is due at %s", at, name, c.at)
			}
		}
		if attempt := run.AttemptName(1); attempt != name && attempt != name+"-1" {
			t.Errorf("the attempt of %q is %q", name, attempt)
		}
		s.decide()
	})
}

// FuzzTick checks that a tick's run can be created, whatever the tick's annotations say.
func FuzzTick(f *testing.F) {
	f.Add(`{"handler":"sql","args":{}}`, noon.Format(time.RFC3339), "")
	f.Add(`{"handler":""}`, "", "soon")
	f.Add(`null`, "9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z")
	f.Fuzz(func(t *testing.T, template, at, since string) {
		if len(template) > contract.MaxArgs {
			return
		}
		s := hourly().tick(0)
		s.ticks[0].Annotations = map[string]string{
			v1alpha1.AnnotationTemplate: template, v1alpha1.AnnotationScheduledAt: at, v1alpha1.AnnotationScheduleSince: since,
		}
		for _, run := range s.decide().create {
			if run.Spec.Handler == "" || run.Namespace != s.recurring.Namespace || !metav1.IsControlledBy(&run, s.recurring) {
				t.Errorf("%+v", run)
			}
			if _, ok := run.ScheduledAt(); !ok {
				t.Errorf("annotated %q", run.Annotations)
			}
		}
	})
}
