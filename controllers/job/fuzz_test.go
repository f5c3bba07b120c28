package job

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// FuzzRetryDelay checks that the next attempt is neither in the past nor later than the
// limits allow, whatever the policy and the runner ask for.
func FuzzRetryDelay(f *testing.F) {
	f.Add(int64(15*time.Second), int64(2*time.Hour), int32(2), int32(1), "")
	f.Add(int64(0), int64(0), int32(10), int32(9999), "1m")
	f.Add(int64(0), int64(8760*time.Hour), int32(10), int32(math.MaxInt32), "-1s")
	f.Add(int64(8760*time.Hour), int64(1), int32(1), int32(100), "2562047h47m16.854775807s")
	f.Fuzz(func(t *testing.T, low, high int64, factor, failed int32, asked string) {
		const year = int64(8760 * time.Hour)
		if low < 0 || low > year || high < 0 || high > year || factor < 1 || factor > 10 || failed < 1 {
			return // the CRD refuses it
		}
		job := makeJob().Retries(100, time.Duration(low)).Backoff(factor, time.Duration(high))
		o := observed{job: job.Obj()}
		const rounded = time.Microsecond // the error of floating-point numbers
		if delay := retryDelay(o, failed); delay < time.Duration(min(low, high))-rounded || delay > time.Duration(high)+rounded {
			t.Errorf("after %d failures: %s", failed, delay)
		}
		o.seen = exited(contract.ExitLater, 1, contract.Message{RetryAfter: asked})
		if delay := retryDelay(o, failed); delay < 0 || delay > longestWait {
			t.Errorf("asked for %q: %s", asked, delay)
		}
	})
}

// FuzzConclude checks that what an attempt leaves fits into the status: its error is short,
// its result is JSON that the API server can read, and its run is a number.
func FuzzConclude(f *testing.F) {
	f.Add("no such table", []byte(`{"rows":1}`), "1")
	f.Add(strings.Repeat("é", 2000), []byte(`1e999`), "2147483648")
	f.Add("\xff", []byte(`{"a":-0,"b":[1e308,0.1e-999,123456789012345678901234567890]}`), "-1")
	f.Add("", []byte(" null "), "+1")
	f.Fuzz(func(t *testing.T, text string, raw []byte, run string) {
		attempt := v1alpha1.Attempt{}
		conclude(&attempt, &runnerjob.End{Error: text, ExitCode: new(int32(1))})
		if len(attempt.Error) > maxError || utf8.ValidString(text) && !utf8.ValidString(attempt.Error) {
			t.Errorf("error %q", attempt.Error)
		}
		if result := resultOf(raw); result != nil {
			var value any
			if err := utiljson.Unmarshal(result.Raw, &value); err != nil || value == nil {
				t.Errorf("the API server would not read %q: %v", result.Raw, err)
			}
			if _, err := json.Marshal(value); err != nil {
				t.Errorf("the API server would not store %q: %v", result.Raw, err)
			}
		}
		child := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.AnnotationRun: run}}}
		if got := runOf(child, 7); got < 1 {
			t.Errorf("run %q is %d", run, got)
		}
	})
}
