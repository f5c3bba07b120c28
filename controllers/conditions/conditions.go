// Package conditions has what the statuses of all kinds share.
package conditions

import (
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	// MaxMessage is the length of a condition's message, in bytes.
	MaxMessage = 2048
	// MaxNote is the length of an event's note, in bytes; the API server takes 1,024.
	MaxNote = 1000
)

// Reason of the condition Ready; "": there is none.
func Reason(of []metav1.Condition) string {
	if ready := meta.FindStatusCondition(of, v1alpha1.ConditionReady); ready != nil {
		return ready.Reason
	}
	return ""
}

// Clip cuts text to at most limit bytes of whole characters.
func Clip(text string, limit int) string {
	const mark = "…"
	if len(text) <= limit {
		return text
	}
	cut := limit - len(mark)
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + mark
}
