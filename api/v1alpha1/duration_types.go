package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Duration is metav1.Duration with a schema: a Go duration in hours, minutes, seconds and
// milliseconds, from 0s to ten years. A field with narrower bounds adds a rule of its own,
// which lets text such as "7d" pass: this type refuses it already, and duration("7d") would
// only add an error that nobody understands.
//
// +kubebuilder:validation:Type=string
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,9}([.][0-9]{1,9})?(ms|s|m|h))+$') && duration(self) <= duration('87600h')",message="must be a duration such as 90s or 1h30m, at most 87600h (ten years)"
type Duration struct {
	time.Duration
}

// MarshalJSON encodes d as metav1.Duration does: "1h30m0s".
func (d Duration) MarshalJSON() ([]byte, error) { return metav1.Duration(d).MarshalJSON() }

// UnmarshalJSON decodes d as metav1.Duration does: anything that time.ParseDuration can parse.
func (d *Duration) UnmarshalJSON(text []byte) error {
	return (*metav1.Duration)(d).UnmarshalJSON(text)
}
