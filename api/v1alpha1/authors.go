package v1alpha1

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Annotations of a WorkspaceJob or a WorkspaceRecurringJob that say who did something. An
// admission policy refuses a name that is not that of the user who sends the request; see
// config/policies/authors.yaml. They are absent if the client did not set them.
const (
	// AnnotationCreatedBy is the name of the user who created the object.
	AnnotationCreatedBy = Group + "/created-by"
	// AnnotationRequeuedBy is the [Signature] of the last change of spec.requeueAt that has one.
	AnnotationRequeuedBy = Group + "/requeued-by"
	// AnnotationCancelledBy is the [Signature] of the last cancellation that has one.
	AnnotationCancelledBy = Group + "/cancelled-by"
	// AnnotationSuspendedBy is the [Signature] of the last pause that has one.
	AnnotationSuspendedBy = Group + "/suspended-by"
	// AnnotationResumedBy is the [Signature] of the last end of a pause that has one.
	AnnotationResumedBy = Group + "/resumed-by"
)

// Signature returns the value of an annotation that says who made the change of the spec which
// led to a generation.
func Signature(user string, generation int64) string {
	return user + signatureEnd(generation)
}

func signatureEnd(generation int64) string { return fmt.Sprintf(" (generation %d)", generation) }

// Author returns who made the latest change of the object's spec, if the annotation is about
// that change. It returns "" if the latest change was another one, or is not signed.
func Author(object metav1.Object, annotation string) string {
	name, latest := strings.CutSuffix(object.GetAnnotations()[annotation], signatureEnd(object.GetGeneration()))
	if !latest {
		return ""
	}
	return name
}
