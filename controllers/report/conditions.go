package report

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// Reason returns the reason of the condition Ready, or "" if there is none.
func Reason(of []metav1.Condition) string {
	if ready := meta.FindStatusCondition(of, v1alpha1.ConditionReady); ready != nil {
		return ready.Reason
	}
	return ""
}

// Phase is where an object stands, in kstatus's terms.
type Phase int

const (
	// Ready means that the object is as its spec wants it.
	Ready Phase = iota
	// Progressing means that the operator works on it, or waits for something that needs
	// no person.
	Progressing
	// Stalled means that nothing happens until a person changes something.
	Stalled
)

// String returns the phase's name.
func (p Phase) String() string {
	switch p {
	case Ready:
		return "Ready"
	case Progressing:
		return "Progressing"
	default:
		return "Stalled"
	}
}

// Finding is what the conditions say about an object.
type Finding struct {
	Phase Phase
	// Reason is one of the constants in api/v1alpha1.
	Reason string
	// Message is for a person, and says what to do. It is clipped to [MaxMessage].
	Message string
}

// Conditions edits the conditions of one status.
type Conditions struct {
	// List is edited in place.
	List *[]metav1.Condition
	// Generation is that of the spec that the status is about.
	Generation int64
	// Now becomes the transition time of conditions whose status changes.
	Now time.Time
}

// Summarize sets Ready, and sets or removes Reconciling and Stalled, so that kstatus,
// and with it kubectl wait, Flux and Argo CD, reads the finding's phase.
// https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus
func (c Conditions) Summarize(f Finding) {
	c.SetTruth(v1alpha1.ConditionReady, f)
	c.SetWhile(v1alpha1.ConditionReconciling, Progressing, f)
	c.SetWhile(v1alpha1.ConditionStalled, Stalled, f)
}

// SetTruth sets a condition that is always present: True if the finding is Ready, and
// False otherwise.
func (c Conditions) SetTruth(kind string, f Finding) {
	status := metav1.ConditionFalse
	if f.Phase == Ready {
		status = metav1.ConditionTrue
	}
	c.Set(kind, status, f.Reason, f.Message)
}

// SetWhile sets a condition that is present only in the given phase.
func (c Conditions) SetWhile(kind string, in Phase, f Finding) {
	if f.Phase != in {
		meta.RemoveStatusCondition(c.List, kind)
		return
	}
	c.Set(kind, metav1.ConditionTrue, f.Reason, f.Message)
}

// Set sets one condition.
func (c Conditions) Set(kind string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(c.List, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: Clip(message, MaxMessage),
		ObservedGeneration: c.Generation, LastTransitionTime: metav1.NewTime(c.Now),
	})
}

// Has reports whether the condition is present.
func (c Conditions) Has(kind string) bool { return meta.FindStatusCondition(*c.List, kind) != nil }
