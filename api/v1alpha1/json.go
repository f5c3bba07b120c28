package v1alpha1

import (
	"bytes"
	stdjson "encoding/json"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/util/json"
)

// SameJSON reports whether two values are the same to the API server, which keeps what
// a value means and not how it was written, such as the order of fields or 1.0 for 1. A
// missing value and null differ, and so do whole numbers that a float64 can't tell apart.
func SameJSON(a, b *apiextensionsv1.JSON) bool {
	if a == nil || b == nil {
		return a == b
	}
	left, err := StoredJSON(a.Raw)
	if err != nil {
		return false
	}
	right, err := StoredJSON(b.Raw)
	return err == nil && bytes.Equal(left, right)
}

// StoredJSON returns the value as the API server writes it: two values that are the same to
// it become the same text.
func StoredJSON(raw []byte) ([]byte, error) {
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return nil, err
	}
	return stdjson.Marshal(value)
}
